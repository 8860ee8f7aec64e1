"""A Compute API in front of a conductor that remembers in dictionaries: real servicers over the real mesh.

For the tests that need hosts, instances and operations in a certain state, which a real
conductor only reaches with computes at work. What the conductor itself decides is tested with it.

Tokens are words: `admin`, `demo` (member of project demo), `reader` (reader of demo), `other`
(member of another project), `service` (another service), `nothing` (no role).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from gateway.compute.app import build_compute_app
from gateway.options import GatewayOptions
from novamesh.compute.v1 import console_service_pb2 as console
from novamesh.conductor.v1 import (
    keypair_service_pb2 as keypair,
)
from novamesh.failures import (
    UnauthenticatedError,
)
from novamesh.image.v1 import image_service_pb2 as image
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.image_pb2 import Image
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.network_pb2 import Network
from novamesh.types.v1.operation_pb2 import Operation
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh import Binding, NodeOptions
from services.mesh.testing import LocalNode, ServiceRole, local_node
from tests.gateway.compute_records import CONDUCTOR, Consoles, Images
from tests.gateway.compute_things import (
    IMAGE,
    NETWORK,
    made_host,
    private,
    tiny,
    tiny_image,
)

CONTEXTS = {
    "admin": RequestContext(
        user_id="u-admin", project_id="admin", roles=["admin", "member", "reader"], is_admin=True
    ),
    "demo": RequestContext(user_id="u-demo", project_id="demo", roles=["member", "reader"]),
    "reader": RequestContext(user_id="u-reader", project_id="demo", roles=["reader"]),
    "other": RequestContext(user_id="u-other", project_id="other", roles=["member", "reader"]),
    "nothing": RequestContext(user_id="u-nothing", project_id="demo"),
    # Another service of the cloud.
    "service": RequestContext(user_id="u-service", project_id="service", roles=["service"]),
    # A role on a domain.
    "domain": RequestContext(user_id="u-domain", roles=["admin", "member", "reader"], is_admin=True),
}


class WordTokens:
    """Recognises the tokens above."""

    async def authenticate(self, token: str) -> RequestContext:
        """The user of a token. Raises UnauthenticatedError."""
        if token == "broken":
            raise ZeroDivisionError("the inner text of a mistake")
        if token not in CONTEXTS:
            raise UnauthenticatedError
        return CONTEXTS[token]


@dataclass
class World:
    """All that the cloud has."""

    client: "TestClient[Request, Application]" = field(init=False)
    node: LocalNode = field(init=False)
    instances: dict[str, Instance] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    flavors: dict[str, Flavor] = field(default_factory=lambda: {"1": tiny()})
    access: dict[str, list[str]] = field(default_factory=dict)
    keypairs: dict[tuple[str, str], keypair.Keypair] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=lambda: {NETWORK: private()})
    images: dict[str, Image] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    calls: list[Any] = field(default_factory=list)
    console: bytes = b"login: \x1b[0m\xff\x00"

    def add(self, made: Instance) -> Instance:
        """Put an instance in."""
        self.instances[made.id] = made
        return made

    async def get(self, path: str, *, token: str = "demo", version: str = "", **options: Any) -> Any:
        """GET below /v2.1."""
        return await self.request("GET", path, token=token, version=version, **options)

    async def request(
        self, method: str, path: str, *, token: str = "demo", version: str = "", **options: Any
    ) -> Any:
        """Any request below /v2.1; the answer has been read."""
        headers = {"X-Auth-Token": token, **options.pop("headers", {})}
        if version:
            headers["OpenStack-API-Version"] = f"compute {version}"
        response = await self.client.request(method, "/v2.1" + path, headers=headers, **options)
        await response.read()
        return response


def _everything() -> dict[str, frozenset[str]]:
    services = [module.DESCRIPTOR.services_by_name[name] for module, name, _ in CONDUCTOR]
    services.append(image.DESCRIPTOR.services_by_name["ImageService"])
    services.append(console.DESCRIPTOR.services_by_name["ConsoleService"])
    return {
        f"/{service.full_name}/{method.name}": frozenset({"gateway"})
        for service in services
        for method in service.methods
    }


@asynccontextmanager
async def compute_world(options: GatewayOptions | None = None) -> AsyncIterator[World]:
    """A running Compute API with one host, one flavor, one network and one image."""
    world = World()
    world.images[IMAGE] = tiny_image()

    def bound(table: Any) -> list[Binding]:
        return [
            Binding(module.DESCRIPTOR.services_by_name[name], servicer(world))
            for module, name, servicer in table
        ]

    async with local_node(
        ServiceRole("conductor", bound(CONDUCTOR)),
        ServiceRole("image", bound([(image, "ImageService", Images)])),
        options=NodeOptions(policy=_everything(), grace=0.0),
    ) as node:
        compute = ServiceRole("compute", bound([(console, "ConsoleService", Consoles)]))
        world.hosts["host1"] = made_host(await node.serve(compute))
        world.node = node
        chosen = replace(options or GatewayOptions(), host_cache_seconds=0.0)
        app = build_compute_app(node, WordTokens(), chosen)
        async with TestClient(TestServer(app)) as client:
            world.client = client
            yield world
