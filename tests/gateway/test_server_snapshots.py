"""createImage and createBackup through a whole cloud, and who may upload into what is made."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from db import instances, operations
from db.images import get as get_image
from drivers.virt.fake.options import FakeOptions
from novamesh.failures import DriverFailureError, ImageUnacceptableError, PermissionDeniedError
from novamesh.image.v1.image_service_pb2 import CreateImageRequest, UploadImageRequest, UploadStart
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.types.v1.image_pb2 import Image
from services.mesh import calling_as
from tests.gateway.compute_world import CONTEXTS
from tests.gateway.fake_cloud import FakeCloud, fake_cloud

OLD = "2.35"


async def images(cloud: FakeCloud, query: str = "", token: str = "demo") -> list[dict[str, Any]]:
    """What the images proxy lists."""
    found = await cloud.ask("GET", f"/images/detail{query}", 200, token, OLD)
    listed: list[dict[str, Any]] = found["images"]
    return listed


async def made(cloud: FakeCloud, server: str, name: str = "picture", **given: Any) -> str:
    """A snapshot's id, once it is there."""
    answer = await cloud.act(server, "createImage", {"name": name, **given})
    await cloud.until(server, "ACTIVE")
    return str(answer["image_id"])


async def last_action(cloud: FakeCloud, server: str) -> dict[str, Any]:
    """The newest of a server's actions, with its events."""
    found = await cloud.ask("GET", f"/servers/{server}/os-instance-actions", 200)
    newest = found["instanceActions"][0]["request_id"]
    whole = await cloud.ask("GET", f"/servers/{server}/os-instance-actions/{newest}", 200, "admin")
    action: dict[str, Any] = whole["instanceAction"]
    return action


async def under_way(cloud: FakeCloud, server: str, task: str) -> None:
    """Wait until the server shows a task."""
    async with asyncio.timeout(20):
        while (await cloud.show(server))["OS-EXT-STS:task_state"] != task:
            await asyncio.sleep(0.005)


async def test_an_image_of_a_server_that_runs_on(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        base = await cloud.add_image("base", hw_disk_bus="scsi", img_signature="x")
        server = await cloud.boot(imageRef=base)
        before = await cloud.show(server)
        image_id = await made(cloud, server, metadata={"why": "because"})
        after = await cloud.show(server)
        assert after["OS-SRV-USG:launched_at"] == before["OS-SRV-USG:launched_at"]
        (image,) = await images(cloud, "?name=picture")
        assert image["id"] == image_id
        assert (image["status"], image["progress"]) == ("ACTIVE", 100)
        assert (image["minDisk"], image["minRam"]) == (1, 0)
        assert image["OS-EXT-IMG-SIZE:size"] == 262144
        assert image["server"]["id"] == server
        assert image["server"]["links"][0]["href"].endswith(f"/v2.1/servers/{server}")
        assert image["metadata"] == {
            "base_image_ref": base,
            "hw_disk_bus": "scsi",
            "image_location": "snapshot",
            "image_state": "available",
            "image_type": "snapshot",
            "instance_uuid": server,
            "owner_id": "demo",
            "user_id": "u-demo",
            "why": "because",
        }
        record = await cloud.database.read(lambda c: get_image(c, image_id))
        assert (record.disk_format, record.container_format, record.owner) == ("qcow2", "bare", "demo")
        # Nobody else sees it; a server boots from it.
        assert image_id not in {one["id"] for one in await images(cloud, token="other")}
        await cloud.boot("copy", imageRef=image_id)
        assert (await last_action(cloud, server))["action"] == "createImage"


async def test_its_tasks_are_shown(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        delays = {"take_snapshot": 0.3, "read_snapshot": 0.1}
        await cloud.add_host("host1", FakeOptions(delays=delays))
        server = await cloud.boot()
        await cloud.act(server, "createImage", {"name": "one"})
        await cloud.act(server, "createImage", {"name": "two"}, 409)
        seen: list[str] = []
        async with asyncio.timeout(20):
            while task := (await cloud.show(server))["OS-EXT-STS:task_state"]:
                if task not in seen:
                    seen.append(task)
                await asyncio.sleep(0)
        assert [task for task in seen if "pending" not in task] == ["image_snapshot", "image_uploading"]
        # What was refused has left no record.
        assert {one["name"] for one in await images(cloud)} == {"tiny", "one"}


@pytest.mark.parametrize(
    ("action", "given"),
    [("createImage", {}), ("createBackup", {"backup_type": "daily", "rotation": 1})],
)
async def test_older_microversions(tmp_path: Path, action: str, given: dict[str, Any]) -> None:
    """The image is told by its place, and metadata counts."""
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        headers = {"X-Auth-Token": "demo", "OpenStack-API-Version": "compute 2.38"}
        path = f"/v2.1/servers/{server}/action"
        body = {action: {"name": "x", "metadata": {"a": "b"}, **given}}
        async with cloud.client.post(path, json=body, headers=headers) as answer:
            assert answer.status == 202
            assert await answer.read() == b""
            image_id = answer.headers["Location"].rpartition("/")[2]
        await cloud.until(server, "ACTIVE")
        assert [one["id"] for one in await images(cloud, "?name=x")] == [image_id]
        body[action]["metadata"] = {str(number): "" for number in range(129)}
        refused = await cloud.ask("POST", f"/servers/{server}/action", 403, version="2.38", json=body)
        assert refused["forbidden"]["message"] == "Image metadata limit exceeded"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"name": ""},
        {"name": " x"},
        {"name": "x" * 256},
        {"name": "x", "metadata": {"a": 1}},
        {"name": "x", "metadata": {"a" * 256: ""}},
        {"name": "x", "other": 1},
    ],
)
async def test_bodies_that_are_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "createImage", given, 400)
        backup = {"backup_type": "daily", "rotation": 1}
        await cloud.act(server, "createBackup", given | backup, 400)
        for wrong in ({"rotation": -1}, {"rotation": "many"}, {"backup_type": 1}):
            await cloud.act(server, "createBackup", {"name": "x", **backup, **wrong}, 400)
        assert len(await images(cloud)) == 1


async def test_who_may(tmp_path: Path) -> None:
    """A lock keeps nobody from making an image, as upstream."""
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "createImage", {"name": "x"}, 403, token="reader")
        await cloud.act(server, "createImage", {"name": "x"}, 404, token="other")
        await cloud.act(server, "lock")
        await made(cloud, server)
        # An administrator's image of somebody's server is shared with them.
        answer = await cloud.act(server, "createImage", {"name": "theirs"}, token="admin")
        await cloud.until(server, "ACTIVE")
        shown = await cloud.ask("GET", f"/images/{answer['image_id']}", 200, "demo", OLD)
        assert shown["image"]["metadata"]["owner_id"] == "demo"
        await cloud.ask("DELETE", f"/images/{answer['image_id']}", 403, "demo", OLD)


async def test_in_other_states(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        for action, status in (
            ("pause", "PAUSED"),
            ("unpause", ""),
            ("suspend", "SUSPENDED"),
            ("resume", ""),
        ):
            await cloud.act(server, action)
            await cloud.until(server, status or "ACTIVE")
            if status:
                await cloud.act(server, "createImage", {"name": status})
                await cloud.until(server, status)
        await cloud.act(server, "os-resetState", {"state": "error"}, token="admin")
        refused = await cloud.act(server, "createImage", {"name": "x"}, 409)
        assert "Cannot 'createImage'" in refused["conflictingRequest"]["message"]
        assert {one["status"] for one in await images(cloud)} == {"ACTIVE"}


async def test_backups_rotate(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server, other = await cloud.boot(), await cloud.boot("other")
        await made(cloud, server, "snapshot")

        async def back_up(whose: str, name: str, kind: str, rotation: int) -> None:
            given = {"name": name, "backup_type": kind, "rotation": rotation}
            assert (await cloud.act(whose, "createBackup", given))["image_id"]
            await cloud.until(whose, "ACTIVE")

        for number in range(3):
            await back_up(server, f"daily{number}", "daily", 2)
        await back_up(server, "weekly", "weekly", 1)
        await back_up(other, "others", "daily", 1)
        (weekly,) = await images(cloud, "?name=weekly")
        assert (weekly["metadata"]["image_type"], weekly["metadata"]["backup_type"]) == ("backup", "weekly")
        names = {one["name"] for one in await images(cloud)} - {"tiny"}
        assert names == {"snapshot", "daily1", "daily2", "weekly", "others"}
        # At 0 nothing stays, not even what was made just now.
        await back_up(server, "last", "daily", 0)
        assert {one["name"] for one in await images(cloud, f"?server={server}")} == {"snapshot", "weekly"}
        assert (await last_action(cloud, server))["action"] == "createBackup"


async def test_one_that_fails(tmp_path: Path) -> None:
    """The image is gone, the server as it was, and the action says so."""
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        fault = ImageUnacceptableError("x", "size", "No more room for images.")
        for method in ("take_snapshot", "read_snapshot"):
            cloud.drivers["host1"].hypervisor.fail(method, fault)
            await cloud.act(server, "createImage", {"name": method})
            await cloud.until(server, "ACTIVE")
            action = await last_action(cloud, server)
            assert (action["action"], action["message"]) == ("createImage", "Error")
            assert action["events"][0]["result"] == "Error"
        assert [one["name"] for one in await images(cloud)] == ["tiny"]
        assert not cloud.drivers["host1"].hypervisor.guest(server).snapshots


async def test_one_that_is_tried_again(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        for method in ("take_snapshot", "read_snapshot", "drop_snapshot"):
            cloud.drivers["host1"].hypervisor.fail(method, DriverFailureError("fake", method, "Not now."))
        await made(cloud, server)
        (image,) = await images(cloud, "?name=picture")
        assert image["status"] == "ACTIVE"
        assert (await last_action(cloud, server))["message"] is None


async def test_a_delete_in_the_middle(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await cloud.add_host("host1", FakeOptions(delays={"read_snapshot": 30.0}))
        server = await cloud.boot()
        await cloud.act(server, "createImage", {"name": "never"})
        await under_way(cloud, server, "image_uploading")
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until_gone(server)
        assert [one["name"] for one in await images(cloud)] == ["tiny"]


async def test_an_image_deleted_in_the_middle(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await cloud.add_host("host1", FakeOptions(delays={"read_snapshot": 0.2}))
        server = await cloud.boot()
        answer = await cloud.act(server, "createImage", {"name": "never"})
        await under_way(cloud, server, "image_uploading")
        await cloud.ask("DELETE", f"/images/{answer['image_id']}", 204, version=OLD)
        await cloud.until(server, "ACTIVE")
        assert (await last_action(cloud, server))["message"] == "Error"
        assert [one["name"] for one in await images(cloud)] == ["tiny"]


async def test_a_stolen_host_uploads_nothing_of_its_own(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await cloud.add_host("host1", FakeOptions(delays={"take_snapshot": 30.0}))
        server = await cloud.boot()
        image_id = (await cloud.act(server, "createImage", {"name": "mine"}))["image_id"]
        await under_way(cloud, server, "image_snapshot")
        operation_id = await operation_of(cloud, server)
        with calling_as(CONTEXTS["demo"]):
            record = Image(name="a user's", disk_format="raw", container_format="bare")
            stub = ImageServiceStub(cloud.node.channel("image"))
            queued = (await stub.CreateImage(CreateImageRequest(image=record))).image.id
        neighbour = await cloud.node.peer("compute", "host2")
        own = await cloud.node.peer("compute", "host1")
        for node, operation, image in (
            (neighbour, operation_id, image_id),
            (neighbour, "", queued),
            (own, operation_id, queued),
            (own, "", image_id),
            (own, "no-such-operation", image_id),
        ):
            # Whom it names makes no difference.
            for context in (CONTEXTS["demo"], CONTEXTS["admin"]):
                with calling_as(context), pytest.raises(PermissionDeniedError):
                    await upload(node, operation, image)
        await upload(own, operation_id, image_id)
        (image,) = [one for one in await images(cloud) if one["id"] == image_id]
        assert image["status"] == "ACTIVE"


async def upload(node: Any, operation_id: str, image_id: str) -> None:
    """What a compute host sends."""

    async def data() -> AsyncIterator[UploadImageRequest]:
        start = UploadStart(
            image_id=image_id, operation_id=operation_id, disk_format="raw", container_format="bare"
        )
        yield UploadImageRequest(start=start)
        yield UploadImageRequest(chunk=b"data")

    await ImageServiceStub(node.channel("image")).UploadImage(data(), timeout=20)


async def operation_of(cloud: FakeCloud, server: str) -> str:
    """The id of the operation under way."""
    (work,) = await cloud.database.read(lambda c: operations.live(c, instances.get(c, server).id))
    return work.operation.id


async def test_lists_of_images(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        image_id = await made(cloud, server, metadata={"colour": "blue"})
        base = cloud.image
        for query, found in (
            ("?type=snapshot", [image_id]),
            (f"?server={server}", [image_id]),
            (f"?server=http://cloud/v2.1/servers/{server}", [image_id]),
            ("?minDisk=1", [image_id]),
            ("?minDisk=0&name=tiny", [base]),
            ("?minRam=0", [image_id, base]),
            ("?minRam=1", []),
            ("?property-colour=blue", [image_id]),
            ("?property-colour=red", []),
            ("?status=ACTIVE", [image_id, base]),
            ("?status=active", [image_id, base]),
            ("?status=queued", []),
            ("?status=nonsense", []),
            ("?changes-since=2000-01-01T00:00:00Z", [image_id, base]),
            ("?changes-since=2100-01-01T00:00:00Z", []),
        ):
            assert [one["id"] for one in await images(cloud, query)] == found, query
        for wrong in ("?minDisk=x", "?minRam=-1", "?changes-since=then"):
            await cloud.ask("GET", "/images" + wrong, 400, version=OLD)
