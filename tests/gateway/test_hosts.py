"""os-hosts, which ends with 2.42."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers.virt.fake.driver import FakeDriver
from novamesh.failures import NotSupportedError
from tests.gateway.fake_cloud import FakeCloud, fake_cloud

PATH = "/os-hosts"


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[FakeCloud]:
    async with fake_cloud(tmp_path, hosts=2) as made:
        yield made


async def ask(cloud: FakeCloud, method: str, path: str = "", status: int = 200, **options: Any) -> Any:
    """A request of an administrator at 2.42."""
    return await cloud.ask(method, PATH + path, status, "admin", "2.42", **options)


async def test_hosts_are_listed_with_their_services(cloud: FakeCloud) -> None:
    listed = (await ask(cloud, "GET"))["hosts"]
    assert {"host_name": "host1", "service": "compute", "zone": "nova"} in listed
    assert {row["service"] for row in listed} >= {"compute", "conductor"}
    nova = (await ask(cloud, "GET", "?zone=nova"))["hosts"]
    assert [row["host_name"] for row in nova] == ["host1", "host2"]
    assert {row["zone"] for row in (await ask(cloud, "GET", "?zone=internal"))["hosts"]} == {"internal"}
    assert (await ask(cloud, "GET", "?zone=moon"))["hosts"] == []
    assert (await ask(cloud, "GET", "?zone="))["hosts"] == listed
    assert (await ask(cloud, "GET", "?service=compute"))["hosts"] == nova
    await ask(cloud, "PUT", "/host2", json={"status": "disable"})
    assert [row["host_name"] for row in (await ask(cloud, "GET", "?zone=nova"))["hosts"]] == ["host1"]


async def test_a_host_s_rows(cloud: FakeCloud) -> None:
    await ask(cloud, "PUT", "/host2", json={"status": "disable"})
    await cloud.boot()
    await cloud.boot(flavorRef="2")
    await cloud.boot(token="other", networks="none")
    rows = [row["resource"] for row in (await ask(cloud, "GET", "/host1"))["host"]]
    assert rows[0] == {
        "host": "host1", "project": "(total)", "cpu": 1000, "memory_mb": 8_000_000, "disk_gb": 600_000,
    }  # fmt: skip
    by_project = {row["project"]: (row["cpu"], row["memory_mb"], row["disk_gb"]) for row in rows}
    assert by_project == {
        "(total)": (1000, 8_000_000, 600_000),
        "(used_now)": (3, 2048, 4),
        "(used_max)": (3, 2048, 4),
        "demo": (2, 1536, 3),
        "other": (1, 512, 1),
    }
    assert [row["project"] for row in rows[:3]] == ["(total)", "(used_now)", "(used_max)"]
    await ask(cloud, "GET", "/absent", 404)


async def test_enabled_disabled_and_in_maintenance(cloud: FakeCloud) -> None:
    body = {"status": "Disable", "maintenance_mode": "enable"}
    assert await ask(cloud, "PUT", "/host1", json=body) == {
        "host": "host1",
        "status": "disabled",
        "maintenance_mode": "on_maintenance",
    }
    assert [cloud.drivers["host1"].hypervisor.maintenance] == [True]
    [service] = (await cloud.ask("GET", "/os-services?host=host1&binary=nova-compute", 200, "admin"))[
        "services"
    ]
    assert service["status"] == "disabled"
    assert await ask(cloud, "PUT", "/host1", json={"status": "ENABLE"}) == {
        "host": "host1",
        "status": "enabled",
    }
    back = await ask(cloud, "PUT", "/host1", json={"maintenance_mode": "disable"})
    assert back == {"host": "host1", "maintenance_mode": "off_maintenance"}
    assert not cloud.drivers["host1"].hypervisor.maintenance
    for wrong in ({"status": "on"}, {"maintenance_mode": True}, {"power": "enable"}):
        await ask(cloud, "PUT", "/host1", 400, json=wrong)
    await ask(cloud, "PUT", "/absent", 404, json=body)


async def test_power(cloud: FakeCloud) -> None:
    for action in ("reboot", "shutdown", "startup"):
        answer = await ask(cloud, "GET", f"/host1/{action}")
        assert answer == {"host": "host1", "power_action": action}
        await ask(cloud, "GET", f"/absent/{action}", 404)
    assert cloud.drivers["host1"].hypervisor.power_actions == ["reboot", "shutdown", "startup"]
    down = {"host": "host2", "binary": "nova-compute", "forced_down": True}
    await cloud.ask("PUT", "/os-services/force-down", 200, "admin", "2.11", json=down)
    answer = await ask(cloud, "GET", "/host2/reboot", 400)
    assert answer["badRequest"]["message"] == "Compute service of host2 is unavailable at this time."


async def test_a_hypervisor_that_cannot(cloud: FakeCloud) -> None:
    """What a host of the libvirt driver answers."""
    driver: FakeDriver = cloud.drivers["host1"]
    cannot = NotSupportedError("host_power", "The libvirt driver can't.")
    driver.hypervisor.fail("run_host_power_action", cannot)
    driver.hypervisor.fail("set_host_maintenance", cannot)
    for method, path, body in (
        ("GET", "/host1/reboot", None),
        ("PUT", "/host1", {"maintenance_mode": "enable"}),
    ):
        answer = await ask(cloud, method, path, 501, json=body)
        message = "The requested functionality is not supported."
        assert answer == {"notImplemented": {"code": 501, "message": message}}


async def test_administrators_only_and_up_to_2_42(cloud: FakeCloud) -> None:
    for path in ("", "/host1", "/host1/reboot", "/host1/shutdown", "/host1/startup"):
        await cloud.ask("GET", PATH + path, 403, "demo", "2.42")
        await cloud.ask("GET", PATH + path, 404, "admin", "2.43")
    await cloud.ask("PUT", PATH + "/host1", 403, "demo", "2.42", json={"status": "enable"})
