"""Moves of servers that meet deletes, aborts and answers that get lost."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from drivers.virt.fake.driver import FakeDriver
from drivers.virt.fake.live_migration import SECONDS_KEY
from drivers.virt.live_migration import Destination
from novamesh.failures import UnavailableError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, Instance
from tests.gateway.fake_cloud import CONDUCTOR, FakeCloud, fake_cloud

AUTO = {"host": None, "block_migration": "auto"}


async def newest(cloud: FakeCloud, server: str) -> dict[str, Any]:
    """The server's last migration."""
    answer = await cloud.ask("GET", f"/os-migrations?instance_uuid={server}", 200, "admin")
    found: dict[str, Any] = answer["migrations"][0]
    return found


def _wait(driver: FakeDriver, method: str, until: asyncio.Event) -> None:
    """Have a method of a driver wait for an event, and do its work then."""
    work = getattr(driver, method)

    async def wait(*given: Any, **named: Any) -> Any:
        await until.wait()
        return await work(*given, **named)

    setattr(driver, method, wait)


async def _task(cloud: FakeCloud, server: str, task: str | None) -> None:
    """Wait until the server has that task."""
    async with asyncio.timeout(20):
        while (await cloud.show(server))["OS-EXT-STS:task_state"] != task:
            await asyncio.sleep(0.01)


async def test_an_abort_that_comes_too_late_leaves_the_guest_where_it_went(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=2) as cloud:
        server = await cloud.boot("vm")
        old = (await cloud.show(server))["OS-EXT-SRV-ATTR:host"]
        driver = cloud.drivers[old]
        send = driver.migrate_live

        async def send_and_say_nothing(instance: Instance, destination: Destination) -> int:
            await send(instance, destination)
            number = (await newest(cloud, server))["id"]
            await cloud.ask("DELETE", f"/servers/{server}/migrations/{number}", 202, "admin")
            raise UnavailableError("compute", "The answer is lost.")

        driver.migrate_live = send_and_say_nothing  # type: ignore[method-assign]
        await cloud.act(server, "os-migrateLive", AUTO, token="admin")
        new = (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"]
        assert new != old
        assert (await newest(cloud, server))["status"] == "completed"
        assert cloud.drivers[new].hypervisor.guests[server].state == POWER_STATE_RUNNING


async def test_nothing_gets_before_a_delete_that_waits_for_a_resize(tmp_path: Path) -> None:
    options = replace(CONDUCTOR, reclaim_instance_interval=3600)
    async with fake_cloud(tmp_path, hosts=2, conductor=options) as cloud:
        server = await cloud.boot("vm")
        resized, ended = asyncio.Event(), asyncio.Event()
        for driver in cloud.drivers.values():
            _wait(driver, "finish_resize", resized)
            _wait(driver, "power_off", ended)
        await cloud.act(server, "resize", {"flavorRef": "2"})
        await _task(cloud, server, "resize_finish")
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        resized.set()
        await _task(cloud, server, None)
        refused = await cloud.act(server, "confirmResize", status=409)
        assert refused["conflictingRequest"]["message"].startswith(
            f"Cannot 'confirmResize' instance {server} while it is in task_state soft-deleting"
        )
        ended.set()
        await cloud.until(server, "SOFT_DELETED")
        # What it was before is still there to go back to.
        await cloud.act(server, "restore")
        await cloud.until(server, "VERIFY_RESIZE")
        await cloud.act(server, "revertResize")
        back = await cloud.until(server, "ACTIVE")
        assert back["flavor"]["original_name"] == "m1.tiny"
        limits = (await cloud.ask("GET", "/limits", 200))["limits"]["absolute"]
        assert (limits["totalInstancesUsed"], limits["totalRAMUsed"]) == (1, 512)
        assert not any(driver.hypervisor.kept for driver in cloud.drivers.values())


async def test_nothing_waits_for_the_end_of_a_delete(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot("vm")
        ended = asyncio.Event()
        _wait(cloud.drivers["host1"], "destroy", ended)
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        # An administrator takes it for stuck.
        await cloud.act(server, "os-resetState", {"state": "active"}, token="admin")
        refused = await cloud.act(server, "os-stop", status=409)
        assert refused["conflictingRequest"]["message"].startswith(
            f"Cannot 'stop' instance {server} while it is in task_state deleting"
        )
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        ended.set()
        await cloud.until_gone(server)
        limits = (await cloud.ask("GET", "/limits", 200))["limits"]["absolute"]
        assert limits["totalInstancesUsed"] == 0


async def test_a_delete_just_after_the_upload_leaves_no_image_of_the_shelved(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot("vm")
        dropped = asyncio.Event()
        _wait(cloud.drivers["host1"], "drop_snapshot", dropped)
        await cloud.act(server, "shelve")

        async def images() -> set[str]:
            answer = await cloud.ask("GET", "/images/detail", 200, version="2.1")
            return {image["status"] for image in answer["images"] if "vm" in image["name"]}

        async with asyncio.timeout(20):
            while await images() != {"ACTIVE"}:
                await asyncio.sleep(0.01)
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until_gone(server)
        assert await images() == set()


async def test_a_delete_on_the_way_is_heard_of_where_the_guest_was_going(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=2) as cloud:
        server = await cloud.boot("vm", metadata={SECONDS_KEY: "600"})
        await cloud.act(server, "os-migrateLive", AUTO, token="admin")
        async with asyncio.timeout(20):
            while not any(driver.hypervisor.sendings for driver in cloud.drivers.values()):
                await asyncio.sleep(0.01)
        new = (await newest(cloud, server))["dest_compute"]
        assert cloud.drivers[new].hypervisor.expects(server)
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until_gone(server)
        assert not cloud.drivers[new].hypervisor.expects(server)


async def test_an_evacuation_clears_where_the_guest_was_going(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=3) as cloud:
        server = await cloud.boot(
            "vm", metadata={SECONDS_KEY: "600"}, availability_zone="nova:host1", token="admin"
        )
        given = {"host": "host2", "block_migration": "auto"}
        await cloud.act(server, "os-migrateLive", given, token="admin")
        async with asyncio.timeout(20):
            while not cloud.drivers["host1"].hypervisor.sendings:
                await asyncio.sleep(0.01)
        assert cloud.drivers["host2"].hypervisor.expects(server)
        await cloud.kill("host1")
        path = "/os-services?host=host1&binary=nova-compute"
        (service,) = (await cloud.ask("GET", path, 200, "admin"))["services"]
        down = {"forced_down": True}
        await cloud.ask("PUT", f"/os-services/{service['id']}", 200, "admin", json=down)
        await cloud.act(server, "evacuate", {"host": "host3"}, 200, token="admin", version="2.94")
        assert (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == "host3"
        assert not cloud.drivers["host2"].hypervisor.expects(server)
