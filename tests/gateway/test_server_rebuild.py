"""Rebuild through the whole cloud: what it changes, what it answers at each microversion, what it refuses."""

from pathlib import Path
from typing import Any

from novamesh.failures import DriverFailureError
from tests.gateway.fake_cloud import FakeCloud, fake_cloud


async def rebuild(cloud: FakeCloud, server: str, status: int = 202, **given: Any) -> Any:
    """The answer's server."""
    version = given.pop("version", "latest")
    given.setdefault("imageRef", cloud.image)
    answer = await cloud.act(server, "rebuild", given, status, version=version)
    return answer["server"] if status == 202 else answer


async def test_a_rebuild_changes_record_and_guest(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        other = await cloud.add_image("other", hw_disk_bus="scsi")
        await cloud.ask("POST", "/os-keypairs", 200, version="2.1", json={"keypair": {"name": "k"}})
        server = await cloud.boot(metadata={"old": "1"})
        before = await cloud.show(server)
        shown = await rebuild(
            cloud, server, imageRef=other, name="new", description="d", hostname="host-x",
            metadata={"new": "2"}, key_name="k", user_data="aGk=", accessIPv4="192.0.2.7", adminPass="secret",
        )  # fmt: skip
        assert shown["status"] == "REBUILD"
        assert (shown["name"], shown["description"], shown["metadata"]) == ("new", "d", {"new": "2"})
        assert (shown["image"]["id"], shown["adminPass"]) == (other, "secret")
        assert (shown["key_name"], shown["user_data"], shown["accessIPv4"]) == ("k", "aGk=", "192.0.2.7")
        after = await cloud.until(server, "ACTIVE")
        assert after["OS-EXT-SRV-ATTR:root_device_name"] == "/dev/sda"
        assert after["image"]["properties"]["hw_disk_bus"] == "scsi"
        assert after["OS-EXT-SRV-ATTR:hostname"] == "host-x"
        assert after["addresses"] == before["addresses"]
        assert after["OS-EXT-SRV-ATTR:host"] == before["OS-EXT-SRV-ATTR:host"]
        assert cloud.drivers["host1"].hypervisor.guest(server).boots == 1
        assert (await cloud.ask("GET", "/servers?new", 200, version="2.1"))["servers"]
        # Nothing given: nothing but the image changes, and what may be taken away by null is.
        shown = await rebuild(cloud, server, key_name=None, user_data=None)
        assert (shown["name"], shown["metadata"], shown["key_name"], shown["user_data"]) == (
            "new", {"new": "2"}, None, None,
        )  # fmt: skip
        after = await cloud.until(server, "ACTIVE")
        assert "hw_disk_bus" not in after["image"]["properties"]


async def test_what_is_shown_at_each_microversion(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        fields: dict[str, set[str]] = {}
        for version in ("2.1", "2.53", "2.54", "2.57", "2.74", "2.75"):
            fields[version] = set(await rebuild(cloud, server, version=version))
            await cloud.until(server, "ACTIVE")
        assert "OS-EXT-STS:vm_state" not in fields["2.1"]
        assert fields["2.54"] - fields["2.53"] == {"key_name"}
        assert "user_data" in fields["2.57"] - fields["2.54"]
        assert {"OS-EXT-STS:vm_state", "config_drive", "OS-SRV-USG:launched_at"} <= fields["2.75"] - fields[
            "2.74"
        ]
        assert all("adminPass" in names for names in fields.values())


async def test_a_stopped_server_stays_stopped_and_a_broken_one_is_mended(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "os-stop")
        await cloud.until(server, "SHUTOFF")
        assert (await rebuild(cloud, server))["status"] == "REBUILD"
        await cloud.until(server, "SHUTOFF")
        cloud.drivers["host1"].hypervisor.fail(
            "rebuild", DriverFailureError("fake", "rebuild", "x"), times=99
        )
        await rebuild(cloud, server)
        broken = await cloud.until(server, "ERROR", 60)
        assert broken["fault"]["message"] == "The hypervisor failed (rebuild)."
        cloud.drivers["host1"].hypervisor._faults.clear()
        await rebuild(cloud, server)
        mended = await cloud.until(server, "ACTIVE")
        assert "fault" not in mended


async def test_refusals(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        missing = "70a599e0-31e7-49b7-b260-868f441e862b"
        refused = await rebuild(cloud, server, 400, imageRef=missing)
        assert refused["badRequest"]["message"] == "Cannot find image for rebuild"
        refused = await rebuild(cloud, server, 400, key_name="absent")
        assert refused["badRequest"]["message"] == "Invalid key_name provided."
        big = await cloud.add_image("big")
        await cloud.ask("POST", f"/servers/{missing}/action", 404, json={"rebuild": {"imageRef": big}})
        many = {f"k{number}": "v" for number in range(200)}
        refused = await rebuild(cloud, server, 403, metadata=many)
        assert refused["forbidden"]["message"] == "Maximum number of metadata items exceeds 128"
        refused = await rebuild(cloud, server, 400, trusted_image_certificates=["x"])
        assert "trusted_image_certificates" in refused["badRequest"]["message"]
        await rebuild(cloud, server, 202, trusted_image_certificates=None)
        await cloud.until(server, "ACTIVE")
        for version, field, value in (
            ("2.18", "description", "d"),
            ("2.53", "key_name", "k"),
            ("2.56", "user_data", "aGk="),
            ("2.57", "personality", []),
            ("2.62", "trusted_image_certificates", None),
            ("2.89", "hostname", "h1"),
            ("2.93", "hostname", "a.example.org"),
        ):
            refused = await rebuild(cloud, server, 400, version=version, **{field: value})
            assert field in refused["badRequest"]["message"], version
        await cloud.act(server, "pause")
        await cloud.until(server, "PAUSED")
        refused = await rebuild(cloud, server, 409)
        assert refused["conflictingRequest"]["message"].startswith(
            f"Cannot 'rebuild' instance {server} while it is in vm_state paused"
        )


async def test_an_image_that_the_host_does_not_run_leaves_the_guest_alone(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        foreign = await cloud.add_image("foreign", hw_architecture="aarch64")
        server = await cloud.boot()
        await rebuild(cloud, server, imageRef=foreign)
        broken = await cloud.until(server, "ERROR")
        assert broken["fault"]["message"].startswith("No valid host was found. (RequestedHost left 1 of 1")
        # It is what it was, and a hard reboot goes on with it.
        assert broken["image"]["id"] == cloud.image
        assert "hw_architecture" not in broken["image"]["properties"]
        assert cloud.drivers["host1"].hypervisor.guest(server).boots == 1
        await cloud.act(server, "reboot", {"type": "HARD"})
        await cloud.until(server, "ACTIVE")
