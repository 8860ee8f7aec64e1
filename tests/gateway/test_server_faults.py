"""Why a server is in ERROR: told to its user without hosts and addresses, to administrators with them."""

from pathlib import Path

from novamesh.failures import DriverFailureError, UnavailableError
from tests.gateway.fake_cloud import FakeCloud, fake_cloud


def break_hosts(cloud: FakeCloud, failure: Exception) -> None:
    """Have every host fail every build."""
    for driver in cloud.drivers.values():
        driver.hypervisor.fail("spawn", failure, times=99)


async def test_hosts_that_fail_are_not_named_to_users(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=2) as cloud:
        break_hosts(cloud, DriverFailureError("libvirt", "start the guest", "no tap at 127.0.0.1:16514"))
        server = await cloud.boot(wait="ERROR")
        fault = (await cloud.show(server, "demo"))["fault"]
        assert fault["code"] == 500
        assert fault["message"].startswith("No valid host was found.")
        assert fault["message"].endswith(
            "The last host that was tried: The hypervisor failed (start the guest)."
        )
        assert "details" not in fault
        assert not any(word in fault["message"] for word in ("host1", "host2", "127.0.0.1"))
        details = (await cloud.show(server, "admin"))["fault"]["details"]
        assert "host1" in details
        assert "host2" in details
        assert details.endswith("no tap at 127.0.0.1:16514")


async def test_a_host_that_does_not_answer_is_not_named_either(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        away = "compute at 127.0.0.1:34567 (host1) does not answer"
        break_hosts(cloud, UnavailableError("compute at 127.0.0.1:34567", away))
        server = await cloud.boot(wait="ERROR")
        fault = (await cloud.show(server, "demo"))["fault"]
        assert "A part of the cloud did not answer (compute)." in fault["message"]
        assert not any(word in fault["message"] for word in ("host1", "127.0.0.1", "34567"))
        assert away in (await cloud.show(server, "admin"))["fault"]["details"]
