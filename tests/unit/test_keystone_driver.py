"""The keystone driver when Keystone is slow, broken or away. tests/clients/test_keystone.py: a real one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from drivers.identity.keystone import KeystoneIdentity, KeystoneOptions
from novamesh.failures import UnauthenticatedError, UnavailableError


class Keystone:
    """As much of a Keystone as the driver asks, which breaks on demand."""

    def __init__(self) -> None:
        self.asked = 0
        self.status = 200
        self.delay = 0.0

    async def login(self, request: web.Request) -> web.Response:
        """Always lets in."""
        body = {"token": {"expires_at": "2999-01-01T00:00:00.000000Z"}}
        return web.json_response(body, status=201, headers={"X-Subject-Token": "own"})

    async def validate(self, request: web.Request) -> web.Response:
        """Knows one token."""
        self.asked += 1
        await asyncio.sleep(self.delay)
        if self.status != 200:
            return web.Response(status=self.status)
        if request.headers["X-Subject-Token"] != "good":
            return web.json_response({"error": {"code": 404}}, status=404)
        token = {
            "audit_ids": ["a"],
            "methods": ["password"],
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "n", "domain": {"id": "d", "name": "D"}},
        }
        return web.json_response({"token": token})


@asynccontextmanager
async def running(keystone: Keystone, **changes: float) -> AsyncIterator[KeystoneIdentity]:
    app = web.Application()
    app.add_routes(
        [web.post("/v3/auth/tokens", keystone.login), web.get("/v3/auth/tokens", keystone.validate)]
    )
    async with TestServer(app) as server:
        settings = {"http_connect_timeout": 0.2, "http_request_max_retries": 0, **changes}
        driver = KeystoneIdentity(KeystoneOptions(str(server.make_url("/")), **settings))  # type: ignore[arg-type]
        await driver.start()
        yield driver
        await driver.stop()


async def test_answers_and_refusals_are_remembered() -> None:
    keystone = Keystone()
    async with running(keystone) as driver:
        answers = await asyncio.gather(*(driver.validate("good") for _ in range(10)))
        assert {answer.token.user.id for answer in answers} == {"u"}
        assert keystone.asked == 1
        for _ in range(3):
            with pytest.raises(UnauthenticatedError):
                await driver.validate("bad")
        assert keystone.asked == 2


async def test_the_cache_is_bounded_and_ends() -> None:
    keystone = Keystone()
    async with running(keystone, token_cache_time=0.0, token_cache_size=2) as driver:
        await driver.validate("good")
        await driver.validate("good")
        assert keystone.asked == 2
        for number in range(5):
            with pytest.raises(UnauthenticatedError):
                await driver.validate(f"bad{number}")
        assert len(driver._known) == 2


async def test_a_slow_keystone_is_unavailable() -> None:
    keystone = Keystone()
    keystone.delay = 5
    async with running(keystone, http_connect_timeout=0.05) as driver:
        with pytest.raises(UnavailableError, match="does not answer"):
            await driver.validate("good")


async def test_a_broken_keystone_is_left_alone_for_a_while_and_then_asked_again() -> None:
    keystone = Keystone()
    keystone.status = 503
    async with running(keystone, circuit_failures=2, circuit_pause=0.1) as driver:
        for _ in range(6):
            with pytest.raises(UnavailableError):
                await driver.validate("good")
        assert keystone.asked == 2
        keystone.status = 200
        async with asyncio.timeout(20):
            while True:
                try:
                    await driver.validate("good")
                    return
                except UnavailableError:
                    await asyncio.sleep(0.02)


async def test_a_service_user_without_the_role_is_said() -> None:
    keystone = Keystone()
    keystone.status = 403
    async with running(keystone) as driver:
        with pytest.raises(UnavailableError, match="role admin or service"):
            await driver.validate("good")
