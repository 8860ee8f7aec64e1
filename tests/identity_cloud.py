"""An identity for tests: real servicers and database, the embedded driver, and the Identity API in front."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from db.connect import connect
from db.database import Database, DatabaseOptions
from drivers.identity.embedded import EmbeddedIdentity, EmbeddedOptions
from gateway.auth import Authenticator
from gateway.identity import IdentityApiOptions, build_identity_app
from novamesh.conductor.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from novamesh.conductor.v1.revocation_service_pb2_grpc import RevocationServiceStub
from novamesh.failures import UnauthenticatedError
from services.conductor.identity import identity_bindings
from services.identity import IdentityRole
from services.identity.options import IdentityOptions
from services.identity.seed import Seeded, seed_identity
from services.mesh.testing import LocalNode, ServiceRole, local_node
from tests.schema import make_schema

PASSWORDS = {"admin": "admin-secret", "demo": "demo-secret"}
Json = dict[str, Any]
Client = TestClient[Request, Application]


@dataclass
class IdentityCloud:
    """A seeded identity. `node` is a gateway's."""

    node: LocalNode
    database: Database
    driver: EmbeddedIdentity
    authenticator: Authenticator
    seeded: Seeded
    options: EmbeddedOptions

    def app(self, options: IdentityApiOptions | None = None) -> Application:
        """The Identity API."""
        return build_identity_app(self.node, self.authenticator, options or IdentityApiOptions())


def fast_options(folder: Path) -> EmbeddedOptions:
    """Options with hashes that cost nothing."""
    return EmbeddedOptions(folder / "keys", argon2_time_cost=1, argon2_memory=8)


async def embedded_role(node: LocalNode, options: EmbeddedOptions) -> IdentityRole:
    """An identity role on a node of its own, not served yet."""
    own = await node.peer("identity")
    channel = own.channel("conductor")
    driver = EmbeddedIdentity(options, AuthenticationServiceStub(channel), RevocationServiceStub(channel))
    return IdentityRole(own, IdentityOptions(), driver)


@asynccontextmanager
async def identity_cloud(folder: Path, *, wire: bool = False, **changes: Any) -> AsyncIterator[IdentityCloud]:
    """A seeded identity with its database below `folder`; `changes` are embedded options."""
    url = f"sqlite:///{folder / 'identity.sqlite'}"
    make_schema(url)
    database = connect(url, DatabaseOptions(synchronous="NORMAL"))
    options = replace(fast_options(folder), **changes)
    async with local_node(ServiceRole("conductor", identity_bindings(database)), wire=wire) as node:
        role = await embedded_role(node, options)
        await node.serve(role)
        seeded = await seed_identity(node, PASSWORDS)
        authenticator = Authenticator(node)
        await authenticator.start()
        driver = role._driver
        assert isinstance(driver, EmbeddedIdentity)
        yield IdentityCloud(node, database, driver, authenticator, seeded, options)
        await authenticator.stop()
    await database.close()


@dataclass
class Api:
    """The Identity API as a client sees it."""

    cloud: IdentityCloud
    client: Client

    async def login(self, user: str, password: str = "", scope: Any = None) -> tuple[str, Json]:
        """A token and its body; the scope is the user's own project unless given."""
        answer = await self.try_login(user, password or PASSWORDS[user], scope)
        assert answer.status == 201, await answer.text()
        return answer.headers["X-Subject-Token"], (await answer.json())["token"]

    async def try_login(self, user: str, password: str, scope: Any = None) -> ClientResponse:
        """The answer to a login by password."""
        named = {"name": user, "domain": {"id": "default"}, "password": password}
        auth: Json = {"identity": {"methods": ["password"], "password": {"user": named}}}
        auth["scope"] = scope or {"project": {"name": user, "domain": {"name": "Default"}}}
        return await self.client.post("/v3/auth/tokens", json={"auth": auth})

    async def call(self, method: str, path: str, token: str, body: Json | None = None) -> ClientResponse:
        """A request with a token."""
        return await self.client.request(method, path, json=body, headers={"X-Auth-Token": token})

    async def made(self, path: str, token: str, body: Json) -> Json:
        """What a POST made: the one thing in the answer."""
        answer = await self.call("POST", path, token, body)
        assert answer.status == 201, await answer.text()
        thing: Json = next(iter((await answer.json()).values()))
        return thing

    async def subject(self, method: str, token: str, subject: str) -> ClientResponse:
        """A request about a token."""
        headers = {"X-Auth-Token": token, "X-Subject-Token": subject}
        return await self.client.request(method, "/v3/auth/tokens", headers=headers)


@asynccontextmanager
async def identity_api(folder: Path, **changes: Any) -> AsyncIterator[Api]:
    """The Identity API of a seeded cloud; `changes` are embedded options."""
    async with identity_cloud(folder, **changes) as cloud, TestClient(TestServer(cloud.app())) as client:
        yield Api(cloud, client)


async def refused(api: Api, token: str) -> None:
    """Wait until the gateway refuses a token: revocations come by a stream."""
    async with asyncio.timeout(20):
        while True:
            try:
                await api.cloud.authenticator.authenticate(token)
            except UnauthenticatedError:
                return
            await asyncio.sleep(0.01)
