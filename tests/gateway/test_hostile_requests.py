"""What no client sends by mistake: every API answers 4xx to it, goes on, and tells nothing."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from gateway.bodies import MAX_DEPTH, MalformedBodyError, parse_json
from gateway.metadata import MetadataApiOptions, build_metadata_app
from services.mesh.testing import local_node
from tests.gateway.compute_things import IMAGE, made_instance
from tests.gateway.compute_world import compute_world
from tests.identity_cloud import identity_api
from tests.image_cloud import image_client, image_cloud

Client = TestClient[Request, Application]


@asynccontextmanager
async def api(kind: str, folder: Path) -> AsyncIterator[tuple[Client, str, str]]:
    """A running API, a token that it knows, and the path of a list that the token may see."""
    if kind == "compute":
        async with compute_world() as world:
            yield world.client, "demo", "/v2.1/servers"
    elif kind == "identity":
        async with identity_api(folder) as identity:
            token, _ = await identity.login("admin")
            yield identity.client, token, "/v3/users"
    else:
        async with image_cloud(folder) as cloud, image_client(cloud) as images:
            yield images.http, "one", "/v2/images"


everywhere = pytest.mark.parametrize("kind", ["compute", "identity", "image"])


async def raw(client: Client, path: str, token: str, **headers: bytes) -> int:
    """The status of a GET whose headers may hold any byte."""
    sent: dict[bytes, bytes] = {b"Host": b"cloud", b"X-Auth-Token": token.encode(), b"Connection": b"close"}
    sent.update({name.replace("_", "-").encode(): value for name, value in headers.items()})
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in sent.items())
    writer.write(b"GET " + path.encode() + b" HTTP/1.1\r\n" + lines + b"\r\n")
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


@everywhere
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 1000, 100_000])
async def test_bodies_nested_deeply_are_refused(kind: str, depth: int, tmp_path: Path) -> None:
    half = min(depth, 50_000)
    async with api(kind, tmp_path) as (client, token, path):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            if len(opening) * half > 100_000:
                continue
            for inner in ("1", '"\\u0000"'):
                data = '{"server":' + opening * half + inner + closing * half + "}"
                headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
                response = await client.post(path, data=data, headers=headers)
                assert response.status == 400, await response.text()
        assert (await client.get(path, headers={"X-Auth-Token": token})).status == 200


@pytest.mark.parametrize("data", [b'{"a": "x\\u0000"}', b'{"\\u0000": 1}', b'[[["\\u0000"]]]', b"\xff", b"{"])
def test_what_cannot_be_stored_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        parse_json(data)


def test_as_deep_as_allowed_is_fine() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert parse_json(b'["a\\\\u0000b", ' + b"{}," * 1000 + b"[]]")


@everywhere
async def test_headers_that_are_no_text(kind: str, tmp_path: Path) -> None:
    async with api(kind, tmp_path) as (client, token, path):
        for name, value, allowed in (
            ("X_Openstack_Request_Id", b"req-" + b"\xff" * 36, {200}),
            ("X_Openstack_Request_Id", b"x" * 7000, {200}),
            ("X_Auth_Token", b"\xff\xfe", {401}),
            ("OpenStack_API_Version", b"compute \xff", {200, 400}),
            ("Accept", b"\xff", {200}),
        ):
            assert await raw(client, path, token, **{name: value}) in allowed, name
        for document in ("/", path):
            for host in (b"\xff", b'a"><script>', b"a b"):
                # The links of some answers repeat the host.
                assert await raw(client, document, token, Host=host) in (
                    {400} if document == "/" else {200, 400}
                )


@everywhere
async def test_nul_in_a_url(kind: str, tmp_path: Path) -> None:
    async with api(kind, tmp_path) as (client, token, path):
        for url in (f"{path}/%00", f"{path}?name=%00"):
            assert await raw(client, url, token) == 400


async def test_nul_in_a_name_of_identity(tmp_path: Path) -> None:
    async with identity_api(tmp_path) as identity:
        token, _ = await identity.login("admin")
        response = await identity.call("POST", "/v3/users", token, {"user": {"name": "a\0b"}})
        assert response.status == 400


_TIMES = ("0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00")


@pytest.mark.parametrize("time", _TIMES)
async def test_times_outside_the_calendar(time: str, tmp_path: Path) -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        for path in ("/servers", f"/servers/{server.id}/os-instance-actions"):
            response = await world.get(path, version="2.66", params={"changes-since": time})
            assert response.status == 400
    async with image_cloud(tmp_path) as cloud, image_client(cloud) as images:
        answer = await images.call("one", "GET", "/v2/images", params={"created_at": f"gt:{time}"})
        assert answer.status == 400


@pytest.mark.parametrize("time", _TIMES)
async def test_an_application_credential_until_no_time(time: str, tmp_path: Path) -> None:
    async with identity_api(tmp_path) as identity:
        token, body = await identity.login("demo")
        wanted = {"application_credential": {"name": "x", "expires_at": time}}
        path = f"/v3/users/{body['user']['id']}/application_credentials"
        assert (await identity.call("POST", path, token, wanted)).status == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"power_state": "\N{SUPERSCRIPT TWO}"}, 200),
        ({"power_state": "9" * 5000}, 400),
        ({"tags": ",".join(f"t{number}" for number in range(51))}, 400),
        ({"not-tags": "a," * 3000}, 200),
        ({"name": "a{99999999999999999999}"}, 400),
        ({"name": "(" * 200 + ")" * 200}, 400),
        ({"name": "x" * 256}, 400),
    ],
)
async def test_filters_of_servers(query: dict[str, str], status: int) -> None:
    async with compute_world() as world:
        response = await world.get("/servers", token="admin", version="2.73", params=query)
        assert response.status == status, await response.text()


async def test_too_many_fields_are_named_as_such() -> None:
    async with compute_world() as world:
        response = await world.get("/servers?" + "a=1&" * 501)
        assert response.status == 400
        assert "500 fields" in await response.text()


async def test_lists_and_ranges_of_images(tmp_path: Path) -> None:
    async with image_cloud(tmp_path) as cloud, image_client(cloud) as images:

        async def status(path: str, **options: Any) -> int:
            return (await images.call("one", "GET", path, **options)).status

        assert await status("/v2/images?name=in:a%0db") == 400
        body = {"name": "x", "disk_format": "raw", "container_format": "bare"}
        made = await images.call("one", "POST", "/v2/images", json=body)
        path = made.headers["Location"].partition("/v2/")[2]
        octets = {"Content-Type": "application/octet-stream"}
        await images.call("one", "PUT", f"/v2/{path}/file", data=b"data", headers=octets)
        for header in ("bytes=" + "9" * 5000 + "-", "bytes=-" + "9" * 5000, "bytes=\N{SUPERSCRIPT TWO}-"):
            if header.isascii():
                assert await status(f"/v2/{path}/file", headers={"Range": header}) == 400


@pytest.mark.parametrize("name", ["kernel_id", "ramdisk_id"])
@pytest.mark.parametrize("value", ["00000000-0000-4000-8000-000000000001", "../../etc/passwd"])
async def test_a_kernel_that_the_caller_may_not_see(name: str, value: str) -> None:
    # A guest reads its ramdisk, and a host reads every image: this would be another project's.
    async with compute_world() as world:
        world.images[IMAGE].properties[name] = value
        body = {"server": {"name": "x", "imageRef": IMAGE, "flavorRef": "1"}}
        response = await world.request("POST", "/servers", json=body)
        assert response.status == 400
        assert not world.instances


async def test_a_marker_of_another_project_s_image(tmp_path: Path) -> None:
    async with image_cloud(tmp_path) as cloud, image_client(cloud) as images:
        made = await images.call("one", "POST", "/v2/images", json={"name": "x"})
        path = "/v2/images?marker=" + orjson.loads(made.body)["id"]
        assert (await images.call("one", "GET", path)).status == 200
        assert (await images.call("two", "GET", path)).status == 400


@pytest.mark.parametrize("size", [(1 << 64) - 1, 1 << 63, (1 << 62) + 1])
async def test_a_disk_larger_than_numbers(size: int, tmp_path: Path) -> None:
    async with image_cloud(tmp_path) as cloud, image_client(cloud) as images:
        body = {"name": "x", "disk_format": "qcow2", "container_format": "bare"}
        made = orjson.loads((await images.call("one", "POST", "/v2/images", json=body)).body)
        data = b"QFI\xfb" + struct.pack(">IQIIQ", 2, 0, 0, 16, size) + bytes(4096)
        octets = {"Content-Type": "application/octet-stream"}
        assert (await images.call("one", "PUT", made["file"], data=data, headers=octets)).status == 415


async def test_a_metadata_proxy_whose_headers_are_no_text() -> None:
    options = MetadataApiOptions(service_metadata_proxy=True, metadata_proxy_shared_secret="s")
    async with local_node() as node, TestClient(TestServer(build_metadata_app(node, options))) as client:
        for name in ("X_Instance_ID", "X_Instance_ID_Signature"):
            headers = {
                "X_Instance_ID": b"i",
                "X_Tenant_ID": b"p",
                "X_Instance_ID_Signature": b"s",
                name: b"\xff",
            }
            assert await raw(client, "/latest/user-data", "", **headers) == 400
