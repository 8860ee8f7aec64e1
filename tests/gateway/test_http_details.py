"""HTTP as clients of Nova expect it: status by status, header by header, character by character."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.gateway.compute_things import IMAGE, made_instance
from tests.gateway.compute_world import compute_world
from tests.gateway.fake_cloud import LATEST, fake_cloud

SERVER = {"name": "web", "imageRef": IMAGE, "flavorRef": "1"}
UNICODE = "Zwölf Bögen 日本語 😀"


async def test_the_status_of_each_good_answer(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot(metadata={"k": "v"}, tags=["t"])
        at = f"/servers/{server}"
        keypair = {"keypair": {"name": "k"}}
        flavor = {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0, "id": "f"}}
        quotas: dict[str, Any] = {"quota_set": {"cores": 9}}
        steps: tuple[tuple[str, str, int, str, Any], ...] = (
            ("POST", "/os-keypairs", 200, "2.1", keypair),
            ("DELETE", "/os-keypairs/k", 202, "2.1", None),
            ("POST", "/os-keypairs", 201, "2.91", keypair),
            ("DELETE", "/os-keypairs/k", 204, "2.91", None),
            ("POST", "/flavors", 200, LATEST, flavor),
            ("POST", "/flavors/f/os-extra_specs", 200, LATEST, {"extra_specs": {"hw:cpu_policy": "shared"}}),
            ("DELETE", "/flavors/f/os-extra_specs/hw:cpu_policy", 200, LATEST, None),
            ("DELETE", "/flavors/f", 202, LATEST, None),
            ("PUT", "/os-quota-sets/demo", 200, LATEST, quotas),
            ("DELETE", "/os-quota-sets/demo", 202, LATEST, None),
            ("PUT", at, 200, LATEST, {"server": {"name": "x"}}),
            ("POST", f"{at}/metadata", 200, LATEST, {"metadata": {"a": "b"}}),
            ("PUT", f"{at}/metadata/a", 200, LATEST, {"meta": {"a": "c"}}),
            ("DELETE", f"{at}/metadata/a", 204, LATEST, None),
            ("PUT", f"{at}/tags/u", 201, LATEST, None),
            ("PUT", f"{at}/tags/u", 204, LATEST, None),
            ("GET", f"{at}/tags/u", 204, LATEST, None),
            ("DELETE", f"{at}/tags/u", 204, LATEST, None),
            ("DELETE", f"{at}/os-server-password", 204, LATEST, None),
            ("POST", f"{at}/action", 202, LATEST, {"lock": None}),
            ("POST", f"{at}/action", 202, LATEST, {"unlock": None}),
            ("POST", f"{at}/action", 200, LATEST, {"os-getConsoleOutput": {}}),
            ("POST", f"{at}/action", 202, LATEST, {"os-resetState": {"state": "error"}}),
            ("DELETE", at, 204, LATEST, None),
        )
        for method, path, status, version, body in steps:
            await cloud.ask(method, path, status, "admin", version, json=body)


async def test_a_new_tag_is_told_its_place(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        for tag, status, place in (
            ("u", 201, "u"),
            ("u", 204, None),
            ("%C3%A4%20b", 201, "%C3%A4%20b"),
            ("a%0D%0Ab", 201, "a%0D%0Ab"),
        ):
            path = f"/v2.1/servers/{server}/tags/{tag}"
            response = await cloud.client.put(
                URL(path, encoded=True),
                headers={"X-Auth-Token": "demo", "OpenStack-API-Version": "compute 2.26"},
            )
            assert response.status == status, tag
            location = response.headers.get("Location")
            assert location == (place and str(cloud.client.make_url("/")) + path[1:]), tag


async def test_headers_of_every_kind_of_answer() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        for method, path, status in (
            ("GET", f"/servers/{server.id}", 200),
            ("HEAD", f"/servers/{server.id}", 200),
            ("OPTIONS", f"/servers/{server.id}", 204),
            ("DELETE", f"/servers/{server.id}", 204),
            ("GET", "/servers/absent", 404),
            ("GET", "/nothing", 404),
            ("PATCH", "/servers", 405),
            ("GET", "/os-services", 403),
        ):
            response = await world.request(method, path)
            assert response.status == status, path
            for name in ("X-OpenStack-Request-ID", "X-Compute-Request-Id"):
                assert response.headers[name].startswith("req-")
            if status in (200, 403):
                assert response.headers["Content-Type"] == "application/json"
                assert response.headers["OpenStack-API-Version"] == "compute 2.1"
                assert response.headers["X-OpenStack-Nova-API-Version"] == "2.1"
                assert response.headers["Vary"] == "OpenStack-API-Version, X-OpenStack-Nova-API-Version"
        refused = await world.client.get("/v2.1/servers")
        assert (refused.status, "X-OpenStack-Request-ID" in refused.headers) == (401, True)


async def test_head_and_options_of_what_is_there() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        for path, methods in (
            (f"/servers/{server.id}", "DELETE, GET, HEAD, OPTIONS, PUT"),
            ("/servers", "GET, HEAD, OPTIONS, POST"),
            (f"/servers/{server.id}/action", "OPTIONS, POST"),
            ("/os-cells", "GET, HEAD, OPTIONS, POST"),
        ):
            response = await world.request("OPTIONS", path)
            assert (response.status, response.headers["Allow"]) == (204, methods)
            response = await world.request("HEAD", path)
            assert response.status == {"/os-cells": 410}.get(path, 200 if "GET" in methods else 405)
            assert await response.read() == b""


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 202),
        ("application/json; charset=UTF-8", 202),
        ("text/plain", 202),
        ("application/vnd.openstack.compute+json;version=2.1", 202),
        ("application/xml", 415),
        ("application/vnd.openstack.compute+xml", 415),
        ("text/html", 415),
        ("multipart/form-data", 415),
    ],
)
async def test_content_types(kind: str, status: int) -> None:
    async with compute_world() as world:
        data = b'{"server": {"name": "web", "imageRef": "%s", "flavorRef": "1"}}' % IMAGE.encode()
        response = await world.request("POST", "/servers", data=data, headers={"Content-Type": kind})
        assert response.status == status
        if status == 415:
            assert (await response.json())["badMediaType"]["code"] == 415
        assert (
            await world.request("POST", "/servers", data=b"{", headers={"Content-Type": kind})
        ).status == (400 if status == 202 else 415)


async def test_a_full_quota_says_when_to_come_back() -> None:
    async with compute_world() as world:
        response = await world.request("POST", "/servers", json={"server": {**SERVER, "max_count": 11}})
        assert response.status == 403
        assert response.headers["Retry-After"] == "0"
        assert (await response.json())["forbidden"]["code"] == 403


# What takes 255 characters and not 256, by the field that a refusal names.
LONGEST: list[tuple[str, str, str, Callable[[str], Any], str, int]] = [
    ("name", "PUT", "/servers/{id}", lambda text: {"server": {"name": text}}, "2.1", 200),
    ("description", "PUT", "/servers/{id}", lambda text: {"server": {"description": text}}, "2.19", 200),
    ("k", "POST", "/servers/{id}/metadata", lambda text: {"metadata": {"k": text}}, "2.1", 200),
    ("metadata", "POST", "/servers/{id}/metadata", lambda text: {"metadata": {text: "v"}}, "2.1", 200),
    ("locked_reason", "POST", "/servers/{id}/action", lambda text: {"lock": {"locked_reason": text}}, "2.73",
     202),
    ("name", "POST", "/flavors", lambda text: {"flavor": {"name": text, "ram": 1, "vcpus": 1, "disk": 1}},
     "2.1", 200),
]  # fmt: skip


async def test_255_characters_and_one_more(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot("x" * 255)
        for field, method, path, body, version, status in LONGEST:
            for length, wanted in ((255, status), (256, 400)):
                where, given = path.replace("{id}", server), body("x" * length)
                answer = await cloud.ask(method, where, wanted, "admin", version, json=given)
            assert field in answer["badRequest"]["message"]


NAMES = (
    (UNICODE, 200),
    ("é" * 255, 200),
    ("😀" * 256, 400),
    ("", 400),
    (" x", 400),
    ("x ", 400),
    ("\N{NO-BREAK SPACE}x", 400),
    ("a\nb", 400),
    ("a\x07b", 400),
)


async def test_names_of_servers() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        for name, status in NAMES:
            response = await world.request("PUT", f"/servers/{server.id}", json={"server": {"name": name}})
            assert response.status == status, name
            if status == 200:
                assert world.instances[server.id].display_name == name


async def test_unicode_all_the_way_to_the_database(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot(UNICODE, description=UNICODE, metadata={"k": UNICODE}, tags=[UNICODE])
        shown = await cloud.show(server)
        assert (shown["name"], shown["description"], shown["metadata"], shown["tags"]) == (
            UNICODE, UNICODE, {"k": UNICODE}, [UNICODE],
        )  # fmt: skip
        listed = await cloud.ask("GET", "/servers/detail", 200, params={"name": "日本", "tags": UNICODE})
        assert [one["id"] for one in listed["servers"]] == [server]
        await cloud.ask("GET", f"/servers/{server}/tags/{UNICODE}", 204)
        missing = await cloud.ask("GET", f"/servers/{UNICODE}", 404)
        assert UNICODE in missing["itemNotFound"]["message"]
