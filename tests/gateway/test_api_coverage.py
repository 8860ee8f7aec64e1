"""docs/api-coverage.md is true: of the routes, and of what they answer."""

import re
from pathlib import Path

import pytest

from gateway.compute.app import ROUTES
from gateway.compute.history import MAXIMUM
from gateway.routes import Route
from tests import api_coverage
from tests.gateway.compute_world import World, compute_world
from tests.gateway.fake_cloud import fake_cloud

NOBODY = "00000000-0000-4000-8000-000000000000"
# What the table of routes itself says.
FROM_THE_TABLE = ("The resource could not be found.", "is not supported on this method.")
REFUSING = [route for route in ROUTES if route.refusal and not route.body]


def test_the_page_is_true() -> None:
    assert api_coverage.PAGE.read_text() == api_coverage.page(), (
        "docs/api-coverage.md is not true any more: python -m tests.api_coverage"
    )


def test_nothing_that_nova_knows_is_missing() -> None:
    missing = [
        operation.label for operation in api_coverage.reference() if not api_coverage.routes_of(operation)
    ]
    assert not missing


def test_every_route_is_one_of_novas() -> None:
    known = {
        route.label for operation in api_coverage.reference() for route in api_coverage.routes_of(operation)
    }
    assert not {route.label for route in ROUTES} - known


def test_what_is_gone_answers_as_nova_does() -> None:
    gone = {operation.path.split("/")[1] for operation in api_coverage.reference()
            if api_coverage.state_of(api_coverage.routes_of(operation)) == api_coverage.GONE}  # fmt: skip
    assert gone == {"os-cells", "os-agents", "os-fping", "servers"}


def filled(path: str, server: str = NOBODY) -> str:
    """A path with something in place of its parameters."""
    return re.sub(r"{[a-z_]+}", NOBODY, path.replace("/servers/{server_id}", f"/servers/{server}"))


async def answer(world: World, route: Route, minor: int) -> tuple[int, str]:
    """Status and message."""
    body: dict[str, object] = {route.action: {}} if route.action else {}
    options = {"json": body} if route.method in ("POST", "PUT") else {}
    response = await world.request(
        route.method, filled(route.path), token="admin", version=f"2.{minor}", **options
    )
    (fault,) = (await response.json()).values()
    return response.status, fault["message"]


async def test_what_is_refused_says_why_and_ends_with_its_microversion() -> None:
    async with compute_world() as world:
        for route in REFUSING:
            status, message = await answer(world, route, route.first)
            if route.first == 97:
                # Shares: the server comes first.
                assert status == 404
                continue
            assert (status, message) == (route.status, route.refusal), route.label
            if route.last is not None:
                status, message = await answer(world, route, route.last + 1)
                assert (status, message) == (
                    404,
                    f"API version 2.{route.last + 1} is not supported on this method.",
                )


@pytest.mark.parametrize("face", ["/v2.1", "/v2.1/demo", "/v2"])
async def test_every_face_has_what_is_gone(face: str) -> None:
    async with compute_world() as world:
        for path in ("/os-cells", "/os-agents", f"/servers/{NOBODY}/consoles"):
            response = await world.client.get(face + path, headers={"X-Auth-Token": "demo"})
            assert response.status == 410
            assert list(await response.json()) == ["computeFault"]


async def test_what_works_is_answered_by_more_than_the_table(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        for route in ROUTES:
            if route.refusal:
                continue
            body = {route.action: None} if route.action else {}
            minor = MAXIMUM if route.last is None else route.last
            response = await cloud.client.request(
                route.method,
                "/v2.1" + filled(route.path, server if route.method == "GET" else NOBODY),
                headers={"X-Auth-Token": "admin", "OpenStack-API-Version": f"compute 2.{minor}"},
                **({"json": body} if route.method in ("POST", "PUT") else {}),  # type: ignore[arg-type]
            )
            text = await response.text()
            assert response.status not in (405, 410, 500, 501, 503), f"{route.label}: {text}"
            if response.status == 404:
                assert not any(words in text for words in FROM_THE_TABLE), f"{route.label}: {text}"
