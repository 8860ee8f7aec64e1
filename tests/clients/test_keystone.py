"""The keystone driver against a real Keystone, and the gateway behind it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from drivers.identity.keystone import KeystoneIdentity, KeystoneOptions
from gateway.auth import Authenticator
from novamesh.failures import UnauthenticatedError, UnavailableError
from services.identity import IdentityRole
from services.identity.options import IdentityOptions
from services.mesh.testing import local_node
from tests.clients.keystone_server import ADMIN_PASSWORD, keystone_server

pytestmark = pytest.mark.client


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with keystone_server(tmp_path_factory.mktemp("keystone")) as url:
        yield url


def options(url: str, **changes: Any) -> KeystoneOptions:
    wanted = {"username": "admin", "password": ADMIN_PASSWORD, "project_name": "admin", **changes}
    return KeystoneOptions(auth_url=url, **wanted)


@pytest.fixture
async def driver(keystone: str) -> AsyncIterator[KeystoneIdentity]:
    running = KeystoneIdentity(options(keystone, token_cache_time=0.05))
    await running.start()
    yield running
    await running.stop()


async def login(url: str, password: str = ADMIN_PASSWORD, scope: Any = None) -> str:
    user = {"name": "admin", "domain": {"id": "default"}, "password": password}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    auth["scope"] = scope or {"project": {"name": "admin", "domain": {"id": "default"}}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/auth/tokens", json={"auth": auth}) as answer,
    ):
        assert answer.status == 201, await answer.text()
        return answer.headers["X-Subject-Token"]


async def revoke(url: str, token: str) -> None:
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    async with (
        aiohttp.ClientSession() as session,
        session.delete(f"{url}/auth/tokens", headers=headers) as answer,
    ):
        assert answer.status == 204


async def test_a_keystone_token_is_recognised_by_the_gateway(keystone: str, driver: KeystoneIdentity) -> None:
    token = await login(keystone)
    async with local_node() as node:
        own = await node.peer("identity")
        await own.add(IdentityRole(own, IdentityOptions(), KeystoneIdentity(options(keystone))))
        gateway = Authenticator(node)
        await gateway.start()
        context = await gateway.authenticate(token)
        assert (context.user_name, context.project_name, context.is_admin) == ("admin", "admin", True)
        assert {"admin", "member", "reader"} <= set(context.roles)
        assert await gateway.authenticate(token) is context
        with pytest.raises(UnauthenticatedError):
            await gateway.authenticate("gAAAAA-nonsense")
        await gateway.stop()


async def test_what_a_token_says(keystone: str, driver: KeystoneIdentity) -> None:
    found = (await driver.validate(await login(keystone))).token
    assert (found.user.name, found.user.domain_name) == ("admin", "Default")
    assert (found.project.name, list(found.methods)) == ("admin", ["password"])
    assert found.expires_at.seconds > found.issued_at.seconds
    unscoped = (await driver.validate(await login(keystone, scope="unscoped"))).token
    assert not unscoped.HasField("project")


async def test_a_revoked_token_ends_with_the_cache(keystone: str, driver: KeystoneIdentity) -> None:
    token = await login(keystone)
    await driver.validate(token)
    await revoke(keystone, token)
    async with asyncio.timeout(10):
        while True:
            try:
                await driver.validate(token)
            except UnauthenticatedError:
                return
            await asyncio.sleep(0.05)


async def test_it_logs_in_again_when_its_own_token_was_revoked(
    keystone: str, driver: KeystoneIdentity
) -> None:
    token = await login(keystone)
    await revoke(keystone, driver._own_token)
    await driver.validate(token)


async def test_a_wrong_service_password_is_said_without_it(keystone: str) -> None:
    driver = KeystoneIdentity(options(keystone, password="wrong-secret"))
    await driver.start()
    with pytest.raises(UnavailableError, match="401") as caught:
        await driver.validate("token")
    assert "wrong-secret" not in caught.value.message
    await driver.stop()
