"""A whole cloud behind the Compute API, in one process and in memory: a real conductor on SQLite, a real
scheduler, the embedded image service and compute hosts with the fake driver.

Tokens are the words of tests.gateway.compute_world. Every request counts the SQL statements that were run
until its answer, and holds them against STATEMENTS: a route that asks the database once for each record
fails whichever test meets it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from sqlalchemy import event

from db.connect import connect
from db.database import Database
from db.sqlite import SqliteDatabase
from drivers.image.local.driver import LocalImageDriver
from drivers.image.local.options import LocalImageOptions
from drivers.virt.fake.driver import FakeDriver
from drivers.virt.fake.options import FakeOptions
from gateway.compute.app import build_compute_app
from gateway.options import GatewayOptions
from novamesh.conductor.v1.host_service_pb2 import ListHostsRequest
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.conductor.v1.image_member_service_pb2_grpc import ImageMemberServiceStub
from novamesh.conductor.v1.image_service_pb2_grpc import ImageServiceStub as ImageRecordStub
from novamesh.image.v1.image_service_pb2 import CreateImageRequest, UploadImageRequest, UploadStart
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.types.v1.image_pb2 import IMAGE_VISIBILITY_PUBLIC, Image
from services.compute import ComputeOptions, ComputeRole
from services.conductor.options import ConductorOptions
from services.conductor.role import ConductorRole
from services.image.options import ImageOptions
from services.image.role import ImageRole
from services.mesh import Node, calling_as
from services.mesh.context import SCOPE
from services.mesh.testing import LocalNode, local_node
from services.metadata.options import MetadataOptions
from services.metadata.role import MetadataRole
from services.scheduler import SchedulerOptions, SchedulerRole
from tests.gateway.compute_world import CONTEXTS, WordTokens
from tests.schema import make_schema

LATEST = "latest"
# SQL statements that one request may take, however many records it is about. Transactions are not counted.
STATEMENTS = 40
CONDUCTOR = ConductorOptions(
    retry_interval=0.02, max_retry_interval=0.2, sweep_interval=0.1, poll_interval=0.1
)
COMPUTE = ComputeOptions(reserved_host_memory_mb=0, sync_power_state_interval=0)


@dataclass
class FakeCloud:
    """The cloud as a user sees it, and what stands behind."""

    node: LocalNode
    database: Database
    client: "TestClient[Request, Application]" = field(init=False)
    computes: dict[str, ComputeRole] = field(default_factory=dict)
    drivers: dict[str, FakeDriver] = field(default_factory=dict)
    image: str = ""
    """An image of 1 GB that everybody sees."""
    flavor: str = "1"
    """m1.tiny: 1 VCPU, 512 MB, 1 GB. m1.small, 1 VCPU, 1024 MB, 2 GB, is flavor 2."""
    statements: list[str] = field(default_factory=list)
    """SQL of the last request."""
    most_statements: int = STATEMENTS
    """More for requests that wait for the ledger's work, which bears their id."""
    compute: ComputeOptions = COMPUTE
    """Of all compute hosts."""
    _nodes: dict[str, Node] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    """Request ids and SQL since that request began; the ledger works on meanwhile."""

    async def ask(
        self,
        method: str,
        path: str,
        status: int,
        token: str = "demo",
        version: str = LATEST,
        **options: Any,
    ) -> Any:
        """A request below /v2.1 that must have that status; its JSON, if any."""
        headers = {
            "X-Auth-Token": token,
            "OpenStack-API-Version": f"compute {version}",
            **options.pop("headers", {}),
        }
        self.log.clear()
        response = await self.client.request(method, "/v2.1" + path, headers=headers, **options)
        content = await response.read()
        request_id = response.headers["X-OpenStack-Request-ID"]
        self.statements = [statement for whose, statement in self.log if whose == request_id]
        count = len(self.statements)
        assert response.status == status, f"{method} {path}: {response.status} {content.decode()}"
        assert count <= self.most_statements, f"{method} {path} ran {count} SQL statements: {self.statements}"
        return await response.json() if content and "json" in response.content_type else None

    async def act(
        self, server_id: str, action: str, given: object = None, status: int = 202, **how: Any
    ) -> Any:
        """An action on a server."""
        return await self.ask("POST", f"/servers/{server_id}/action", status, json={action: given}, **how)

    async def boot(self, name: str = "vm", *, wait: str = "ACTIVE", token: str = "demo", **given: Any) -> str:
        """A new server's id, once its status is `wait`. `hints` are scheduler hints."""
        body: dict[str, Any] = {}
        if hints := given.pop("hints", None):
            body["os:scheduler_hints"] = hints
        version = given.pop("version", LATEST)
        body["server"] = {
            "name": name,
            "imageRef": self.image,
            "flavorRef": self.flavor,
            "networks": "auto",
            **given,
        }
        made = await self.ask("POST", "/servers", 202, token, version, json=body)
        server_id: str = made["server"]["id"]
        if wait:
            await self.until(server_id, wait)
        return server_id

    async def show(self, server_id: str, token: str = "admin", version: str = LATEST) -> dict[str, Any]:
        """The server, as an administrator sees it."""
        answer = await self.ask("GET", f"/servers/{server_id}", 200, token, version)
        server: dict[str, Any] = answer["server"]
        return server

    async def until(self, server_id: str, status: str, seconds: float = 20.0) -> dict[str, Any]:
        """The server once it has that status and no task."""
        server: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    server = await self.show(server_id)
                    if server["status"] == status and server["OS-EXT-STS:task_state"] is None:
                        return server
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not {status}, but {server}") from None

    async def until_gone(self, server_id: str, seconds: float = 20.0) -> None:
        """Wait for the end of a delete."""
        async with asyncio.timeout(seconds):
            while True:
                path, headers = f"/v2.1/servers/{server_id}", {"X-Auth-Token": "admin"}
                async with self.client.get(path, headers=headers) as response:
                    if response.status == 404:
                        return
                await asyncio.sleep(0.01)

    async def add_host(self, name: str, options: FakeOptions | None = None) -> None:
        """Start a compute host, and wait until it is registered."""
        self.drivers[name] = FakeDriver(options or FakeOptions())
        await self.revive(name)

    async def revive(self, name: str) -> None:
        """Start a compute host with the guests that its hypervisor has; it registers, and compares them."""
        peer = self._nodes[name] = await self.node.peer("compute", name)
        self.computes[name] = ComputeRole(peer, self.compute, self.drivers[name])
        await peer.add(self.computes[name])
        stub = HostServiceStub(self.node.channel("conductor"))
        async with asyncio.timeout(20):
            while name not in {host.name for host in (await stub.ListHosts(ListHostsRequest())).hosts}:
                await asyncio.sleep(0.01)

    async def kill(self, name: str) -> None:
        """End a compute host's role. Its guests run on, unheard of."""
        peer = self._nodes.pop(name)
        await peer.stop()
        self.node._others.remove(peer)

    async def add_image(self, name: str, **properties: str) -> str:
        """A public image with a little data; its id."""
        stub = ImageServiceStub(self.node.channel("image"))
        record = Image(
            name=name, disk_format="raw", container_format="bare", visibility=IMAGE_VISIBILITY_PUBLIC
        )
        record.properties.update(properties)
        with calling_as(CONTEXTS["admin"]):
            image_id: str = (await stub.CreateImage(CreateImageRequest(image=record))).image.id

            async def data() -> AsyncIterator[UploadImageRequest]:
                yield UploadImageRequest(start=UploadStart(image_id=image_id))
                yield UploadImageRequest(chunk=bytes(4096))

            await stub.UploadImage(data())
        return image_id


def _count(database: Database, log: list[tuple[str, str]]) -> None:
    """Have every statement of a SQLite database written down, with the request that it is for."""
    assert isinstance(database, SqliteDatabase)
    for engine in (database._read_engine, database._write_engine):

        @event.listens_for(engine, "before_cursor_execute")
        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            scope = SCOPE.get()
            # The ledger works on in the request's name, perhaps before its answer is out; it answers no call.
            if scope.call is not None:
                log.append((scope.context.request_id, statement))


@asynccontextmanager
async def fake_cloud(
    folder: Path,
    hosts: int = 1,
    conductor: ConductorOptions = CONDUCTOR,
    compute: ComputeOptions = COMPUTE,
) -> AsyncIterator[FakeCloud]:
    """A running cloud with hosts host1, host2 ...; two flavors, a network `private` and an image."""
    url = f"sqlite:///{folder / 'cloud.sqlite'}"
    make_schema(url)
    database = connect(url)
    async with local_node() as node:
        cloud = FakeCloud(node, database, compute=compute)
        _count(database, cloud.log)
        brain = await node.peer("conductor")
        await brain.add(ConductorRole(brain, conductor, database))
        pictures = await node.peer("image")
        records = pictures.channel("conductor")
        driver = LocalImageDriver(
            LocalImageOptions(folder / "images"), ImageRecordStub(records), ImageMemberServiceStub(records)
        )
        await pictures.add(ImageRole(pictures, ImageOptions(), driver))
        told = await node.peer("metadata")
        await told.add(MetadataRole(told, MetadataOptions()))
        chooser = await node.peer("scheduler")
        await chooser.add(SchedulerRole(chooser, SchedulerOptions(seed=1)))
        for number in range(1, hosts + 1):
            await cloud.add_host(f"host{number}")
        app = build_compute_app(node, WordTokens(), GatewayOptions(host_cache_seconds=0.0))
        async with TestClient(TestServer(app)) as client:
            cloud.client = client
            for number, (name, ram, disk) in enumerate((("m1.tiny", 512, 1), ("m1.small", 1024, 2)), 1):
                flavor = {"name": name, "id": str(number), "ram": ram, "vcpus": 1, "disk": disk}
                await cloud.ask("POST", "/flavors", 200, "admin", json={"flavor": flavor})
            network = {"network": {"label": "private", "cidr": "10.1.0.0/24"}}
            await cloud.ask("POST", "/os-networks", 200, "admin", version="2.1", json=network)
            cloud.image = await cloud.add_image("tiny")
            yield cloud
    await database.close()
