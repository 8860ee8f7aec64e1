"""Rescue, passwords, crash dumps, diagnostics and locks through the whole cloud."""

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from db import instances, operations
from db.database import Connection
from db.operations import Lease
from db.schema.base import now
from drivers.virt.fake import FakeOptions
from drivers.virt.fake.hypervisor import FakeGuest
from novamesh.conductor.v1.operation_service_pb2 import StartOperationRequest
from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceStub
from novamesh.failures import DriverFailureError, InvalidArgumentError, NotSupportedError
from novamesh.types.v1.instance_pb2 import Instance, TaskState
from novamesh.types.v1.operation_pb2 import Operation, OperationKind
from services.conductor.endings import Ending
from services.conductor.workflows.ground import Ground
from tests.gateway.fake_cloud import CONDUCTOR, FakeCloud, fake_cloud


def guest(cloud: FakeCloud, server: str) -> FakeGuest:
    """What runs for a server of the first host."""
    return cloud.drivers["host1"].hypervisor.guest(server)


def written(folder: Path) -> list[bytes]:
    """What the database has on its disk."""
    return [path.read_bytes() for path in folder.rglob("cloud.sqlite*")]


async def actions(cloud: FakeCloud, server: str) -> list[str]:
    """Names of what was done to a server, the newest first."""
    answer = await cloud.ask("GET", f"/servers/{server}/os-instance-actions", 200)
    return [one["action"] for one in answer["instanceActions"]]


async def test_rescue_and_unrescue(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        rescuer = await cloud.add_image("rescuer")
        server = await cloud.boot()
        answer = await cloud.act(server, "rescue", {"rescue_image_ref": rescuer, "adminPass": "pw"}, 200)
        assert answer == {"adminPass": "pw"}
        await cloud.until(server, "RESCUE")
        assert guest(cloud, server).rescue_image == rescuer
        refused = await cloud.act(server, "reboot", {"type": "HARD"}, 409)
        assert "rescued" in refused["conflictingRequest"]["message"]
        await cloud.act(server, "unrescue")
        await cloud.until(server, "ACTIVE")
        assert guest(cloud, server).rescue_image == ""
        # Without an image from its own; and one that is off runs afterwards.
        await cloud.act(server, "os-stop")
        await cloud.until(server, "SHUTOFF")
        assert len((await cloud.act(server, "rescue", None, 200))["adminPass"]) == 12
        await cloud.until(server, "RESCUE")
        assert guest(cloud, server).rescue_image == cloud.image
        await cloud.act(server, "unrescue")
        await cloud.until(server, "ACTIVE")
        await cloud.act(server, "unrescue", status=409)
        missing = {"rescue_image_ref": "70a599e0-31e7-49b7-b260-868f441e862b"}
        refused = await cloud.act(server, "rescue", missing, 400)
        assert refused["badRequest"]["message"].endswith("is not supported")
        await cloud.act(server, "rescue", {"rescue_image_ref": "x"}, 400)
        assert await actions(cloud, server) == [
            "unrescue", "rescue", "stop", "unrescue", "rescue", "create",
        ]  # fmt: skip


async def test_a_rescue_that_fails_ends_in_error_and_a_hard_reboot_mends_it(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        cloud.drivers["host1"].hypervisor.fail("rescue", NotSupportedError("rescue", "No rescue here."))
        await cloud.act(server, "rescue", None, 200)
        assert (await cloud.until(server, "ERROR"))["fault"]["message"] == "No rescue here."
        await cloud.act(server, "reboot", {"type": "HARD"})
        await cloud.until(server, "ACTIVE")
        # The same ends a rescue that an administrator has declared to be none.
        await cloud.act(server, "rescue", None, 200)
        await cloud.until(server, "RESCUE")
        await cloud.act(server, "os-resetState", {"state": "active"}, token="admin")
        await cloud.act(server, "reboot", {"type": "HARD"})
        await cloud.until(server, "ACTIVE")
        assert guest(cloud, server).rescue_image == ""


async def test_a_password_is_set_in_the_guest_and_kept_nowhere(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "changePassword", {"adminPass": "hunter2-secret"})
        assert guest(cloud, server).password == "hunter2-secret"
        assert (await cloud.show(server))["OS-EXT-STS:task_state"] is None
        assert await actions(cloud, server) == ["changePassword", "create"]
        assert written(tmp_path)
        assert not any(b"hunter2-secret" in content for content in written(tmp_path))
        hypervisor = cloud.drivers["host1"].hypervisor
        hypervisor.fail(
            "set_admin_password", NotSupportedError("guest_agent", "QEMU guest agent is not enabled")
        )
        refused = await cloud.act(server, "changePassword", {"adminPass": "x"}, 409)
        assert refused["conflictingRequest"]["message"] == "QEMU guest agent is not enabled"
        hypervisor.fail("set_admin_password", DriverFailureError("fake", "set", "x failed for hunter2"))
        refused = await cloud.act(server, "changePassword", {"adminPass": "x"}, 409)
        assert refused["conflictingRequest"]["message"] == (
            f"Failed to set admin password on {server} because error setting admin password"
        )
        server_now = await cloud.show(server)
        assert (server_now["status"], server_now["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        await cloud.act(server, "changePassword", {}, 400)
        await cloud.act(server, "changePassword", {"adminPass": "x"}, 404, token="other")
        await cloud.act(server, "os-stop")
        await cloud.until(server, "SHUTOFF")
        await cloud.act(server, "changePassword", {"adminPass": "x"}, 409)


async def test_a_crash_dump_interrupts_the_guest(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "trigger_crash_dump", status=404, version="2.16")
        await cloud.act(server, "trigger_crash_dump", {}, 400, version="2.17")
        await cloud.act(server, "trigger_crash_dump", version="2.17")
        assert (await cloud.until(server, "ACTIVE"))["status"] == "ACTIVE"
        # The ledger does it in its own time; the next action comes after it.
        await cloud.act(server, "os-stop")
        await cloud.until(server, "SHUTOFF")
        assert any(b"NMI received" in line for line in guest(cloud, server).console)
        await cloud.act(server, "trigger_crash_dump", status=409)
        assert await actions(cloud, server) == ["stop", "trigger_crash_dump", "create"]
        events = await events_of(cloud, server, 1)
        assert (events[0]["event"], events[0]["result"]) == ("compute_trigger_crash_dump", "Success")


async def events_of(cloud: FakeCloud, server: str, number: int) -> list[dict[str, Any]]:
    """The events of an action, counted from the newest."""
    path = f"/servers/{server}/os-instance-actions"
    request_id = (await cloud.ask("GET", path, 200))["instanceActions"][number]["request_id"]
    events: list[dict[str, Any]] = (await cloud.ask("GET", f"{path}/{request_id}", 200))["instanceAction"][
        "events"
    ]
    return events


async def test_diagnostics_in_both_shapes(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        path = f"/servers/{server}/diagnostics"
        await cloud.ask("GET", path, 403)
        old = await cloud.ask("GET", path, 200, "admin", "2.47")
        assert old["cpu0_time"] == 17_300_000_000
        assert (old["vda_read"], old["vda_read_req"], old["vda_errors"]) == (262144, 112, 0)
        assert (old["tap0_rx"], old["tap0_tx_packets"]) == (2070139, 662)
        assert (old["memory"], old["memory-rss"]) == (524288, 65536)
        new = await cloud.ask("GET", path, 200, "admin", "2.48")
        assert new.pop("uptime") >= 0
        assert new == {
            "config_drive": False, "state": "running", "driver": "libvirt", "hypervisor": "fake",
            "hypervisor_os": "linux", "num_cpus": 1, "num_nics": 1, "num_disks": 1,
            "cpu_details": [{"id": 0, "time": 17_300_000_000, "utilisation": 15}],
            "nic_details": [
                {
                    "mac_address": "fa:16:3e:00:00:01",
                    "rx_octets": 2070139, "rx_packets": 26701, "rx_errors": 0, "rx_drop": 0, "rx_rate": None,
                    "tx_octets": 140208, "tx_packets": 662, "tx_errors": 0, "tx_drop": 0, "tx_rate": None,
                }
            ],
            "disk_details": [
                {
                    "read_bytes": 262144, "read_requests": 112, "write_bytes": 5778432,
                    "write_requests": 488, "errors_count": 0,
                }
            ],
            "memory_details": {"maximum": 512, "used": 64},
        }  # fmt: skip
        await cloud.act(server, "pause")
        await cloud.until(server, "PAUSED")
        refused = await cloud.ask("GET", path, 409, "admin")
        assert refused["conflictingRequest"]["message"] == (
            f"Cannot 'get_diagnostics' instance {server} while it is in power state paused"
        )


async def test_a_locked_server_obeys_administrators_only(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "lock", {"locked_reason": "mine"}, version="2.73")
        await cloud.act(server, "lock", {"reason": "mine"}, 400, version="2.73")
        shown = await cloud.show(server)
        assert (shown["locked"], shown["locked_reason"]) == (True, "mine")
        path = f"/servers/{server}"
        for action, given, in (
            ("os-stop", None), ("reboot", {"type": "HARD"}), ("pause", None), ("suspend", None),
            ("rebuild", {"imageRef": cloud.image}), ("rescue", None), ("changePassword", {"adminPass": "x"}),
            ("trigger_crash_dump", None),
        ):  # fmt: skip
            refused = await cloud.act(server, action, given, 409)
            assert refused["conflictingRequest"]["message"] == f"Instance {server} is locked", action
        await cloud.ask("DELETE", path, 409)
        await cloud.ask("POST", path + "/metadata", 409, json={"metadata": {"a": "b"}})
        # Neither tags nor the name are locked.
        await cloud.ask("PUT", path + "/tags/t", 201)
        await cloud.ask("PUT", path, 200, json={"server": {"name": "renamed"}})
        await cloud.act(server, "os-stop", token="admin")
        await cloud.until(server, "SHUTOFF")
        await cloud.act(server, "unlock")
        shown = await cloud.show(server)
        assert (shown["locked"], shown["locked_reason"]) == (False, None)
        assert await actions(cloud, server) == ["unlock", "stop", "lock", "create"]
        assert (await events_of(cloud, server, 0))[0]["event"] == "api_unlock"


async def test_what_an_administrator_has_locked_its_owner_cannot_unlock(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "lock", token="admin")
        refused = await cloud.act(server, "unlock", status=403)
        assert "unlock:unlock_override" in refused["forbidden"]["message"]
        # The owner's lock doesn't take the administrator's away.
        await cloud.act(server, "lock")
        await cloud.act(server, "unlock", status=403)
        await cloud.act(server, "unlock", token="other", status=404)
        await cloud.act(server, "unlock", token="admin")
        await cloud.act(server, "lock")
        await cloud.act(server, "unlock", token="admin")
        assert not (await cloud.show(server))["locked"]


async def test_metadata_and_tags_ask_the_state(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "rescue", None, 200)
        await cloud.until(server, "RESCUE")
        path = f"/servers/{server}"
        refused = await cloud.ask("POST", path + "/metadata", 409, json={"metadata": {"a": "b"}})
        assert refused["conflictingRequest"]["message"].startswith(
            f"Cannot 'update metadata' instance {server} while it is in vm_state rescued"
        )
        await cloud.ask("PUT", path + "/tags/t", 409)


async def test_a_password_is_lost_with_the_conductor_that_knew_it(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        operation = Operation(
            id=str(uuid.uuid4()),
            kind=OperationKind.OPERATION_KIND_CHANGE_PASSWORD,
            instance_id=server,
            project_id="demo",
            request_id="req-of-the-dead",
            max_attempts=1,
        )

        def leave(connection: Connection) -> None:
            """As a conductor leaves it that is killed while it sets the password."""
            at = now()
            operations.add(connection, operation, at, Lease("dead", at))
            instance = instances.lock(connection, server)
            instance.task_state = TaskState.TASK_STATE_UPDATING_PASSWORD
            instances.save(connection, instance, at)

        await cloud.database.write(leave)
        assert (await cloud.show(server))["status"] == "PASSWORD"
        await cloud.until(server, "ACTIVE")
        path = f"/servers/{server}/os-instance-actions/req-of-the-dead"
        ended = (await cloud.ask("GET", path, 200, "admin"))["instanceAction"]
        assert (ended["action"], ended["message"]) == ("changePassword", "Error")
        assert ended["events"][0]["traceback"] == "The conductor that knew the password has ended."
        # Nor can one be asked for without a password.
        with pytest.raises(InvalidArgumentError):
            await OperationServiceStub(cloud.node.channel("conductor")).StartOperation(
                StartOperationRequest(instance_id=server, kind=operation.kind)
            )


async def test_a_password_that_is_set_after_who_asked_lost_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, end = asyncio.Event(), Ground.end

    async def late(self: Ground, ending: Ending, *, host: str = "") -> Instance:
        """As a slow database has it."""
        await answered.wait()
        return await end(self, ending, host=host)

    async with fake_cloud(tmp_path, conductor=replace(CONDUCTOR, call_timeout=0.3)) as cloud:
        server = await cloud.boot()
        monkeypatch.setattr(Ground, "end", late)
        await cloud.act(server, "changePassword", {"adminPass": "x"}, 503)
        with capture_logs() as logs:
            answered.set()
            await cloud.until(server, "ACTIVE")
            await asyncio.sleep(0.05)
        assert guest(cloud, server).password == "x"
        assert [line for line in logs if line["log_level"] == "error"] == []


async def test_a_delete_overtakes_a_password(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await cloud.add_host("host1", FakeOptions(delays={"set_admin_password": 30.0}))
        server = await cloud.boot()
        body = {"changePassword": {"adminPass": "x"}}
        headers = {"X-Auth-Token": "demo"}
        asked = asyncio.create_task(
            cloud.client.post(f"/v2.1/servers/{server}/action", json=body, headers=headers)
        )
        async with asyncio.timeout(10):
            while (await cloud.show(server))["status"] != "PASSWORD":
                await asyncio.sleep(0.01)
        # Meanwhile nothing else can be asked for.
        await cloud.act(server, "changePassword", {"adminPass": "y"}, 409)
        await cloud.act(server, "pause", status=409)
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        answer = await asked
        assert answer.status == 409
        await cloud.until_gone(server)


async def test_instance_actions_at_each_microversion(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        hypervisor = cloud.drivers["host1"].hypervisor
        hypervisor.fail("rescue", NotSupportedError("rescue", "No rescue on host1."))
        await cloud.act(server, "rescue", None, 200)
        await cloud.until(server, "ERROR")
        path = f"/servers/{server}/os-instance-actions"
        newest = (await cloud.ask("GET", path, 200, version="2.57"))["instanceActions"][0]
        assert set(newest) == {
            "action", "instance_uuid", "request_id", "user_id", "project_id", "start_time", "message",
        }  # fmt: skip
        assert (newest["action"], newest["message"]) == ("rescue", "Error")
        one = f"{path}/{newest['request_id']}"

        async def fields(version: str, token: str) -> set[str]:
            shown = (await cloud.ask("GET", one, 200, token, version))["instanceAction"]
            return set(shown["events"][0]) if "events" in shown else set()

        plain = {"event", "start_time", "finish_time", "result"}
        assert await fields("2.50", "demo") == set()
        assert await fields("2.50", "admin") == plain | {"traceback"}
        assert await fields("2.51", "demo") == plain
        assert await fields("2.62", "demo") == plain | {"hostId"}
        assert await fields("2.62", "admin") == plain | {"hostId", "host", "traceback"}
        assert await fields("2.84", "demo") == plain | {"hostId"}
        assert await fields("2.84", "admin") == plain | {"hostId", "host", "traceback", "details"}
        assert "updated_at" in (await cloud.ask("GET", one, 200, version="2.58"))["instanceAction"]
        page = await cloud.ask("GET", path + "?limit=1", 200, version="2.58")
        assert [action["action"] for action in page["instanceActions"]] == ["rescue"]
        rest = await cloud.ask("GET", page["links"][0]["href"].partition("/v2.1")[2], 200, version="2.58")
        assert [action["action"] for action in rest["instanceActions"]] == ["create"]
        since = newest["start_time"]
        found = await cloud.ask("GET", f"{path}?changes-since={since}", 200, version="2.58")
        assert [action["action"] for action in found["instanceActions"]] == ["rescue"]
        await cloud.ask("GET", f"{path}?changes-before={since}", 400, version="2.65")
        found = await cloud.ask("GET", f"{path}?changes-before={since}", 200, version="2.66")
        assert [action["action"] for action in found["instanceActions"]] == ["create"]
