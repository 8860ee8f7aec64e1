"""What every operation of the Compute API shares: versions, tokens, routes, bodies, errors, headers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.compute.app import ROUTES, build_compute_app
from gateway.compute.history import HISTORY, MAXIMUM
from gateway.compute.rules import RULES
from gateway.faults import HttpError
from gateway.microversions import Negotiator
from gateway.options import GatewayOptions
from gateway.policy import Policy
from gateway.routes import Route, RouteTree
from gateway.schemas import check_body, compile_rows
from tests.gateway.compute_things import made_instance
from tests.gateway.compute_world import CONTEXTS, WordTokens, compute_world

NEGOTIATOR = Negotiator("compute", MAXIMUM)


@pytest.mark.parametrize(
    ("headers", "minor"),
    [
        ({}, 1),
        ({"OpenStack-API-Version": "compute 2.10"}, 10),
        ({"OpenStack-API-Version": "volume 3.9, compute 2.27"}, 27),
        ({"OpenStack-API-Version": "volume 3.9"}, 1),
        ({"OpenStack-API-Version": "compute latest"}, MAXIMUM),
        ({"X-OpenStack-Nova-API-Version": "2.40"}, 40),
        ({"OpenStack-API-Version": "compute 2.2", "X-OpenStack-Nova-API-Version": "2.40"}, 2),
    ],
)
def test_a_version_is_negotiated(headers: dict[str, str], minor: int) -> None:
    assert NEGOTIATOR.negotiate(headers) == minor


@pytest.mark.parametrize(
    ("version", "status"),
    [("2.999", 406), ("3.1", 406), ("2.0", 406), ("2", 400), ("two", 400), ("2.01", 400), ("2.1.1", 400)],
)
def test_a_version_that_is_not_served_or_none_is_refused(version: str, status: int) -> None:
    with pytest.raises(HttpError) as refused:
        NEGOTIATOR.negotiate({"OpenStack-API-Version": f"compute {version}"})
    assert refused.value.status == status
    assert version in refused.value.message


def test_the_history_has_no_gaps() -> None:
    assert [change.minor for change in HISTORY] == list(range(1, MAXIMUM + 1))


def test_every_route_has_a_rule_that_exists() -> None:
    policy = Policy(RULES)
    missing = {route.label for route in ROUTES if not route.rule or route.rule not in policy}
    assert not missing


def test_a_reader_may_look_and_a_member_may_act() -> None:
    policy = Policy(RULES)
    for name, show, create, admin in (
        ("reader", True, False, False),
        ("demo", True, True, False),
        ("admin", True, True, True),
        ("nothing", False, False, False),
    ):
        context = CONTEXTS[name]
        assert policy.allows("os_compute_api:servers:show", context) is show
        assert policy.allows("os_compute_api:servers:create", context) is create
        assert policy.allows("os_compute_api:os-services:list", context) is admin
    assert not policy.allows("os_compute_api:servers:show", CONTEXTS["demo"], project_id="other")
    assert policy.allows("os_compute_api:servers:show", CONTEXTS["admin"], project_id="other")


def test_a_policy_file_replaces_rules(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text('"os_compute_api:servers:show": "user_domain_id:special"\n')
    policy = Policy(RULES, path)
    context = type(CONTEXTS["demo"])()
    context.CopyFrom(CONTEXTS["demo"])
    assert not policy.allows("os_compute_api:servers:show", context)
    # The rule asks for more than roles, so the first answer isn't kept for everybody.
    context.user_domain_id = "special"
    assert policy.allows("os_compute_api:servers:show", context)


def test_a_route_declared_twice_for_a_version_is_a_mistake() -> None:
    async def handler(_: object) -> None: ...

    twice = (Route("GET", "/a", "r", handler, last=5), Route("GET", "/a", "r", handler, first=5))
    with pytest.raises(ValueError, match="twice"):
        RouteTree(twice, MAXIMUM)


def test_schema_rows_hold_from_their_version_on() -> None:
    rows = ((2, {"type": "string"}), (5, {"type": "integer"}))
    compiled = compile_rows(rows, 6)
    assert compiled[1] is None
    assert compiled[4] is compiled[2]
    with pytest.raises(HttpError):
        check_body(compiled[5], "text")  # type: ignore[arg-type]


async def test_version_documents_need_no_token() -> None:
    async with compute_world() as world:
        response = await world.client.get("/")
        assert response.status == 200
        legacy, version = (await response.json())["versions"]
        assert (legacy["id"], legacy["status"], legacy["version"]) == ("v2.0", "SUPPORTED", "")
        assert (version["min_version"], version["version"]) == ("2.1", f"2.{MAXIMUM}")
        for path in ("/v2.1", "/v2.1/"):
            response = await world.client.get(path)
            assert response.status == 200
            assert (await response.json())["version"]["links"][0]["href"].endswith("/v2.1/")
        response = await world.client.get("/servers")
        assert response.status == 300
        choices = (await response.json())["choices"]
        assert [choice["links"][0]["href"].rpartition(":")[2].partition("/")[2] for choice in choices] == [
            "v2/servers",
            "v2.1/servers",
        ]


async def test_who_is_not_recognised_gets_401_and_is_told_where_to_log_in() -> None:
    async with compute_world() as world:
        for headers in ({}, {"X-Auth-Token": "wrong"}):
            response = await world.client.get("/v2.1/servers", headers=headers)
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Keystone uri=")
            assert (await response.json())["error"]["code"] == 401


async def test_answers_name_request_and_version() -> None:
    async with compute_world() as world:
        response = await world.get("/servers", version="2.30")
        assert response.headers["X-Openstack-Request-Id"].startswith("req-")
        assert response.headers["X-Compute-Request-Id"] == response.headers["X-Openstack-Request-Id"]
        assert response.headers["OpenStack-API-Version"] == "compute 2.30"
        assert response.headers["X-OpenStack-Nova-API-Version"] == "2.30"
        assert "OpenStack-API-Version" in response.headers["Vary"]
        response = await world.get("/servers", version="2.999")
        assert response.status == 406
        assert f"maximum is 2.{MAXIMUM}" in (await response.json())["computeFault"]["message"]


async def test_a_project_in_the_url_is_optional_and_must_be_the_token_s() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        response = await world.get(f"/demo/servers/{server.id}")
        assert response.status == 200
        links = (await response.json())["server"]["links"]
        assert links[0]["href"].endswith(f"/v2.1/demo/servers/{server.id}")
        response = await world.get(f"/other/servers/{server.id}")
        assert response.status == 400
        assert "doesn't match" in (await response.json())["badRequest"]["message"]


async def test_a_token_without_a_project_sees_nobody_s_servers() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        for path in ("/servers", f"/servers/{server.id}", "/flavors"):
            assert (await world.get(path, token="domain")).status == 403


async def test_nul_characters_go_no_further() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        path = f"/servers/{server.id}/metadata"
        for value, status in (("a\0b", 400), ("a\\u0000b", 200)):
            response = await world.request("POST", path, json={"metadata": {"k": value}})
            assert response.status == status
        assert (await world.client.get("/v2.1/servers/%00", headers={"X-Auth-Token": "demo"})).status == 400


async def test_unknown_routes_and_methods() -> None:
    async with compute_world() as world:
        assert (await world.get("/nothing")).status == 404
        response = await world.request("PATCH", "/servers")
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
        assert "badMethod" in await response.json()
        # An empty id is not the list.
        assert (await world.request("DELETE", "/images/")).status == 404
        assert (await world.get("/servers/")).status == 404
        for path in ("/servers", "/nothing"):
            response = await world.request("OPTIONS", path)
            assert response.status == (404 if path == "/nothing" else 204)
        # The first word may be a project, but then it must be the caller's.
        assert (await world.get("/demo")).status == 200
        assert (await world.get("/demo/servers")).status == 200
        assert (await world.get("/other/servers")).status == 400


async def test_a_mistake_is_a_500_without_its_inner_text() -> None:
    async with compute_world() as world:
        response = await world.get("/servers", token="broken")
        assert response.status == 500
        assert "inner text" not in await response.text()
        assert response.headers["X-Openstack-Request-Id"]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        ("{", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ("", "application/json", 400),
        ("[]", "application/json", 400),
        ("pool=nova", "application/x-www-form-urlencoded", 415),
        (" " * 200_000, "application/json", 413),
    ],
)
async def test_bodies_that_are_none(data: str, kind: str, status: int) -> None:
    async with compute_world() as world:
        response = await world.request("POST", "/servers", data=data, headers={"Content-Type": kind})
        assert response.status == status


async def test_a_long_body_without_a_length_is_refused_too() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 20_000

    async with compute_world() as world:
        response = await world.request(
            "POST", "/servers", data=chunks(), headers={"Content-Type": "application/json"}
        )
        assert response.status == 413


async def test_unknown_query_parameters_pass_until_they_are_refused() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        assert (await world.get(f"/servers/{server.id}?a=b", version="2.101")).status == 200
        assert (await world.get(f"/servers/{server.id}?a=b", version="2.102")).status == 400
        assert (await world.get("/servers?nonsense=1", version="2.74")).status == 200
        response = await world.get("/servers?nonsense=1", version="2.75")
        assert response.status == 400
        assert "nonsense" in await response.text()


async def test_head_is_get_without_a_body() -> None:
    async with compute_world() as world:
        response = await world.request("HEAD", "/servers")
        assert response.status == 200
        assert await response.read() == b""


async def test_a_link_prefix_stands_in_front_of_every_link() -> None:
    options = GatewayOptions(compute_link_prefix="https://cloud.example.com:8774")
    async with compute_world(options) as world:
        server = world.add(made_instance(1))
        shown = (await (await world.get(f"/servers/{server.id}")).json())["server"]
        assert shown["links"][0]["href"].startswith("https://cloud.example.com:8774/v2.1/servers/")


async def test_a_policy_file_that_is_not_there_is_named() -> None:
    async with compute_world() as world:
        with pytest.raises(OSError, match="policy"):
            build_compute_app(
                world.node,
                WordTokens(),
                GatewayOptions(policy_file=Path("/nowhere/policy.yaml")),
            )
