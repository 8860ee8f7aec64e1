"""The metadata API over a metadata role over a conductor that has two instances."""

import asyncio
import errno
import hashlib
import hmac
import socket
from collections.abc import AsyncIterator
from typing import TypeAlias

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from drivers.network.linux.options import METADATA_HOST, METADATA_PORT
from gateway.metadata import MetadataApiOptions, build_metadata_app, open_listeners
from novamesh.conductor.v1 import instance_service_pb2 as records
from novamesh.conductor.v1 import password_service_pb2 as passwords
from novamesh.failures import AlreadyExistsError, NotFoundError, PermissionDeniedError, UnavailableError
from novamesh.metadata.v1.metadata_service_pb2 import GetConfigDriveRequest
from novamesh.metadata.v1.metadata_service_pb2_grpc import MetadataServiceStub
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.network_pb2 import VirtualInterface
from services.mesh import Binding, Call
from services.mesh.testing import LocalNode, ServiceRole, local_node
from services.metadata import MetadataOptions, MetadataRole

Client: TypeAlias = "TestClient[web.Request, web.Application]"
SECRET = "between us"
PROJECT = "f7ac731cc11f40efbc03a9f9e1d1d21f"


class Records:
    """Just enough of the conductor's InstanceService and PasswordService."""

    def __init__(self) -> None:
        self.reads = 0
        self.away = False
        self.instances = {
            address: Instance(
                id=f"id-{address}",
                number=number,
                hostname=f"vm{number}",
                project_id=PROJECT,
                host="host1",
                interfaces=[VirtualInterface(address=address)],
            )
            for number, address in enumerate(("127.0.0.1", "10.80.0.5"), 1)
        }

    async def GetInstanceByAddress(
        self, request: records.GetInstanceByAddressRequest, call: Call
    ) -> records.GetInstanceByAddressResponse:
        self.reads += 1
        await asyncio.sleep(0)
        if self.away:
            raise UnavailableError("conductor", "away")
        if request.address not in self.instances:
            raise NotFoundError("instance", request.address)
        return records.GetInstanceByAddressResponse(instance=self.instances[request.address])

    async def GetInstance(
        self, request: records.GetInstanceRequest, call: Call
    ) -> records.GetInstanceResponse:
        self.reads += 1
        for instance in self.instances.values():
            if instance.id == request.id:
                return records.GetInstanceResponse(instance=instance)
        raise NotFoundError("instance", request.id)

    async def SetPassword(
        self, request: passwords.SetPasswordRequest, call: Call
    ) -> passwords.SetPasswordResponse:
        for address, instance in self.instances.items():
            if instance.id == request.instance_id:
                if instance.system_metadata:
                    raise AlreadyExistsError("password", instance.id)
                changed = Instance()
                changed.CopyFrom(instance)
                changed.system_metadata["password_0"] = request.password.decode()
                self.instances[address] = changed
        return passwords.SetPasswordResponse()


class Cloud:
    """A metadata role, its conductor, and clients of the gateway."""

    def __init__(self, node: LocalNode, conductor: Records) -> None:
        self.node = node
        self.records = conductor
        self._clients: list[Client] = []

    async def client(self, options: MetadataApiOptions | None = None) -> Client:
        app = build_metadata_app(self.node, options or MetadataApiOptions())
        client: Client = TestClient(TestServer(app))
        await client.start_server()
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    conductor = Records()
    services = [
        Binding(contract.DESCRIPTOR.services_by_name[name], conductor)
        for contract, name in ((records, "InstanceService"), (passwords, "PasswordService"))
    ]
    async with local_node(ServiceRole("conductor", services)) as node:
        metadata = await node.peer("metadata")
        await metadata.add(MetadataRole(metadata, MetadataOptions(metadata_cache_expiration=60)))
        cloud = Cloud(node, conductor)
        yield cloud
        await cloud.close()


def signed(instance_id: str, secret: str = SECRET) -> dict[str, str]:
    return {
        "X-Instance-ID": instance_id,
        "X-Tenant-ID": PROJECT,
        "X-Instance-ID-Signature": hmac.new(
            secret.encode(), instance_id.encode(), hashlib.sha256
        ).hexdigest(),
    }


PROXIED = MetadataApiOptions(service_metadata_proxy=True, metadata_proxy_shared_secret=SECRET)


async def test_a_guest_is_known_by_its_address(cloud: Cloud) -> None:
    client = await cloud.client()
    answer = await client.get("/latest/meta-data/instance-id")
    assert (answer.status, await answer.text()) == (200, "i-00000001")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    answer = await client.get("/openstack/latest/meta_data.json")
    assert (await answer.json())["uuid"] == "id-127.0.0.1"
    assert answer.headers["Content-Type"] == "application/json"


async def test_head_has_the_length_and_no_body(cloud: Cloud) -> None:
    answer = await (await cloud.client()).head("/latest/meta-data/instance-id")
    assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, "10", b"")


async def test_not_found_has_novas_form(cloud: Cloud) -> None:
    answer = await (await cloud.client()).get("/latest/meta-data/nosuch")
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert await answer.text() == (
        "<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n"
        "  The resource could not be found.<br /><br />\n\n\n\n </body>\n</html>"
    )


async def test_a_stranger_gets_404(cloud: Cloud) -> None:
    del cloud.records.instances["127.0.0.1"]
    assert (await (await cloud.client()).get("/")).status == 404


async def test_one_record_serves_many_requests(cloud: Cloud) -> None:
    client = await cloud.client()
    answers = await asyncio.gather(*(client.get("/latest/meta-data/hostname") for _ in range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert cloud.records.reads == 1


async def test_a_failure_is_not_remembered(cloud: Cloud) -> None:
    client = await cloud.client()
    cloud.records.away = True
    assert (await client.get("/")).status == 503
    cloud.records.away = False
    assert (await client.get("/")).status == 200


async def test_forwarded_addresses_count_only_when_told_so(cloud: Cloud) -> None:
    headers = {"X-Forwarded-For": "127.0.0.1, 10.80.0.5"}
    trusting = await cloud.client(MetadataApiOptions(use_forwarded_for=True))
    answer = await trusting.get("/latest/meta-data/local-ipv4", headers=headers)
    assert await answer.text() == "10.80.0.5"
    wary = await cloud.client()
    answer = await wary.get("/latest/meta-data/local-ipv4", headers=headers)
    assert await answer.text() == "127.0.0.1"


async def test_a_signed_instance_id(cloud: Cloud) -> None:
    client = await cloud.client(PROXIED)
    answer = await client.get("/latest/meta-data/local-ipv4", headers=signed("id-10.80.0.5"))
    assert (answer.status, await answer.text()) == (200, "10.80.0.5")


async def test_headers_mean_nothing_without_a_proxy(cloud: Cloud) -> None:
    client = await cloud.client()
    answer = await client.get("/latest/meta-data/local-ipv4", headers=signed("id-10.80.0.5"))
    assert await answer.text() == "127.0.0.1"


@pytest.mark.parametrize(
    ("headers", "status", "explanation"),
    [
        (signed("id-10.80.0.5", "guessed"), 403, "Invalid proxy request signature."),
        ({"X-Instance-ID": "id-10.80.0.5", "X-Tenant-ID": PROJECT}, 403, "Invalid proxy request signature."),
        ({"X-Instance-ID": "id-10.80.0.5"}, 400, "X-Tenant-ID header is missing from request."),
        (signed("a,b"), 400, "Multiple X-Instance-ID headers found within request."),
        (signed("id-10.80.0.5") | {"X-Tenant-ID": "another"}, 404, "The resource could not be found."),
        (signed("id-nosuch"), 404, "The resource could not be found."),
    ],
)
async def test_proxies_that_are_refused(
    cloud: Cloud, headers: dict[str, str], status: int, explanation: str
) -> None:
    answer = await (await cloud.client(PROXIED)).get("/latest/meta-data/local-ipv4", headers=headers)
    assert answer.status == status
    assert explanation in await answer.text()


def test_a_proxy_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="metadata_proxy_shared_secret"):
        MetadataApiOptions(service_metadata_proxy=True)


async def test_a_guest_sets_its_password_once(cloud: Cloud) -> None:
    client = await cloud.client()
    path = "/openstack/latest/password"
    # The record is remembered from here on, and read anew once there is a password.
    assert await (await client.get(path)).text() == ""
    assert (await client.post(path, data=b"ZW5j")).status == 200
    assert await (await client.get(path)).text() == "ZW5j"
    assert (await client.post(path, data=b"again")).status == 409
    assert (await client.post(path, data=b"x" * 1021)).status == 400
    assert (await client.post(path, data=b"x" * 100_000)).status == 400
    assert (await client.post("/latest/user-data", data=b"x")).status == 405


async def test_a_config_drive_is_for_the_instances_own_host(cloud: Cloud) -> None:
    request = GetConfigDriveRequest(instance_id="id-10.80.0.5")
    own = await cloud.node.peer("compute", "host1")
    answer = await MetadataServiceStub(own.channel("metadata")).GetConfigDrive(request)
    assert "openstack/latest/meta_data.json" in {file.path for file in answer.files}
    other = await cloud.node.peer("compute", "host2")
    with pytest.raises(PermissionDeniedError):
        await MetadataServiceStub(other.channel("metadata")).GetConfigDrive(request)


def test_listeners_open_on_addresses_that_are_not_there_yet() -> None:
    for listener in open_listeners(("127.0.0.1", "198.51.100.77"), 0):
        assert listener.getsockname()[1] > 0
        listener.close()


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"127.0.0.1:{port}.*metadata_listen_port") as caught:
            open_listeners(("127.0.0.1",), port)
    assert caught.value.errno == errno.EADDRINUSE


def test_the_gateway_listens_where_the_network_leads_guests() -> None:
    options = MetadataApiOptions()
    assert METADATA_HOST in options.metadata_listen
    assert options.metadata_listen_port == METADATA_PORT
