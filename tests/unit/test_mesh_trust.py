"""Mutual TLS: who is let in, who is believed to be whom, and certificates that end or change."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import grpc.aio
import pytest
from cryptography import x509
from OpenSSL import SSL

from novamesh.failures import InvalidArgumentError, UnauthenticatedError, UnavailableError
from novamesh.mesh.v1 import probe_service_pb2 as probe
from novamesh.mesh.v1.probe_service_pb2_grpc import ProbeServiceStub
from services.mesh import Age, Certificate, Neighbours, Node, NodeOptions, Peer
from services.mesh.authority import Authority
from services.mesh.certificates import now, peer_and_end
from services.mesh.identity import check_peer, parse_spiffe_id
from services.mesh.node import target_of
from services.mesh.testing import CLUSTER, LocalNode, ServiceRole, local_node

ROLE = ServiceRole("conductor", [])


@pytest.fixture
async def mesh() -> AsyncIterator[LocalNode]:
    async with local_node(ROLE, wire=True) as node:
        yield node


async def echo(channel: grpc.aio.Channel) -> probe.EchoResponse:
    return await ProbeServiceStub(channel).Echo(probe.EchoRequest(), timeout=3)


async def outsider(mesh: LocalNode, certificate: Certificate) -> None:
    """Call the conductor with some certificate."""
    node = Node(certificate, mesh.book)
    try:
        await echo(node.channel("conductor"))
    finally:
        await node.stop()


async def test_another_clouds_certificate_is_refused(mesh: LocalNode) -> None:
    foreign = Authority.create(CLUSTER).issue(mesh.identity)
    with pytest.raises(UnavailableError, match="did not accept each other's certificates"):
        await outsider(mesh, foreign)
    # It trusts the right CA but isn't certified by it.
    with pytest.raises(UnavailableError, match="did not accept each other's certificates"):
        await outsider(mesh, replace(foreign, roots=mesh.authority.certificate_pem))


async def test_an_ended_certificate_is_refused(mesh: LocalNode) -> None:
    ended = mesh.authority.issue(mesh.identity, timedelta(seconds=-1))
    assert ended.not_after < now()
    with pytest.raises(UnavailableError, match="Most likely one certificate has ended"):
        await outsider(mesh, ended)


async def test_a_certificate_that_ends_on_a_kept_connection_is_refused(
    mesh: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = mesh.channel("conductor")
    await echo(channel)
    ends = mesh.certificate.not_after.timestamp()
    monkeypatch.setattr("services.mesh.server.time", lambda: ends + 1)
    with pytest.raises(UnauthenticatedError, match="spiffe://testcloud/gateway/host1 has ended"):
        await echo(channel)


async def test_the_server_must_have_the_role_that_was_dialled(mesh: LocalNode) -> None:
    address = mesh.book["conductor"]
    await echo(mesh.channel_to(address, "conductor"))
    with pytest.raises(UnavailableError, match="is for another role or host"):
        await echo(mesh.channel_to(address, "identity"))


async def test_the_server_must_be_the_host_that_was_dialled(mesh: LocalNode) -> None:
    address = await mesh.serve(ServiceRole("compute", []), "host7")
    answer = await echo(mesh.channel_to(address, "compute", "host7"))
    assert answer.server == "spiffe://testcloud/compute/host7"
    with pytest.raises(UnavailableError, match="is for another role or host"):
        await echo(mesh.channel_to(address, "compute", "host8"))


async def test_roles_and_hosts_are_checked_in_memory_too() -> None:
    async with local_node(ROLE) as mesh:
        address = mesh.book["conductor"]
        await echo(mesh.channel_to(address, "conductor", "host1"))
        with pytest.raises(UnavailableError, match="spiffe://testcloud/conductor/host1 answers there"):
            await echo(mesh.channel_to(address, "identity"))
        with pytest.raises(UnavailableError):
            await echo(mesh.channel_to(address, "conductor", "host2"))


async def test_without_a_certificate_nobody_gets_in(mesh: LocalNode) -> None:
    credentials = grpc.ssl_channel_credentials(mesh.authority.certificate_pem)
    async with grpc.aio.secure_channel(mesh.book["conductor"], credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await echo(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_both_sides_renew_without_a_restart(mesh: LocalNode) -> None:
    conductor = await mesh.peer("conductor", "host2")
    address = await conductor.add(ServiceRole("conductor", []))
    channel = mesh.channel_to(address, "conductor")
    before = (await asyncio.to_thread(_shown_by, address)).serial_number
    await echo(channel)

    conductor.adopt(mesh.authority.issue(conductor.identity))
    mesh.adopt(mesh.authority.issue(mesh.identity))

    assert (await echo(channel)).server == conductor.identity.spiffe_id
    assert (await asyncio.to_thread(_shown_by, address)).serial_number != before


def _shown_by(address: str) -> x509.Certificate:
    """The certificate that a server shows to a new connection."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as plain:
        connection = SSL.Connection(context, plain)
        connection.set_alpn_protos([b"h2"])
        connection.set_connect_state()
        connection.do_handshake()
        shown = connection.get_peer_certificate()
        assert shown is not None
        return shown.to_cryptography()


async def test_a_call_under_way_survives_the_renewal(mesh: LocalNode) -> None:
    relay = ProbeServiceStub(mesh.channel("conductor")).Relay()
    await relay.write(probe.RelayRequest(payload=b"1"))
    await relay.read()
    mesh.adopt(mesh.authority.issue(mesh.identity))
    await echo(mesh.channel("conductor"))
    await relay.write(probe.RelayRequest(payload=b"2"))
    assert await relay.read() == probe.RelayResponse(payload=b"2")
    await relay.done_writing()
    assert await relay.read() is grpc.aio.EOF


async def test_a_node_renews_in_time_and_tries_again() -> None:
    authority = Authority.create(CLUSTER)
    peer = Peer(CLUSTER, "compute", "host1")
    attempts: list[Certificate] = []
    renewed = asyncio.Event()

    async def renew(node: Node) -> Certificate:
        attempts.append(node.certificate)
        if len(attempts) == 1:
            raise UnavailableError("cert", "cert is away")
        renewed.set()
        return authority.issue(peer)

    # Old already: two thirds of its life lie behind it.
    old = replace(
        authority.issue(peer), not_before=now() - timedelta(days=3), not_after=now() + timedelta(days=1)
    )
    node = Node(old, {}, options=NodeOptions(renew=renew, renew_again=0.01))
    await node.start()
    await asyncio.wait_for(renewed.wait(), 5)
    await asyncio.sleep(0)
    assert attempts == [old, old]
    assert node.certificate is not old
    await node.stop()


async def test_a_node_keeps_its_name(mesh: LocalNode) -> None:
    with pytest.raises(ValueError, match="is not spiffe://testcloud/gateway/host1"):
        mesh.adopt(mesh.authority.issue(Peer(CLUSTER, "admin", "host1")))
    with pytest.raises(ValueError, match="certified as gateway can't serve conductor"):
        await Node(mesh.certificate, {}).add(ROLE, "127.0.0.1:0")


async def test_a_taken_port_is_named(mesh: LocalNode) -> None:
    other = await mesh.peer("conductor", "host2")
    with pytest.raises(OSError, match=mesh.book["conductor"]):
        await other.add(ROLE, mesh.book["conductor"])


async def test_a_role_that_is_not_there(mesh: LocalNode) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(UnavailableError, match="is not running, or not at the address") as caught:
        await echo(mesh.channel_to(address, "image"))
    assert caught.value.detail.part == f"image at {address}"  # type: ignore[attr-defined]


async def test_a_role_that_comes_back_is_found_again(mesh: LocalNode) -> None:
    first = await mesh.peer("conductor", "host2")
    address = await first.add(ROLE)
    channel = mesh.channel_to(address, "conductor")
    await echo(channel)
    await first.stop()
    second = await mesh.peer("conductor", "host3")
    await second.add(ROLE, address)
    stub = ProbeServiceStub(channel)
    answer = await stub.Echo(probe.EchoRequest(), wait_for_ready=True, timeout=10)
    assert answer.server.endswith("host3")


async def test_a_context_that_can_not_be_read_is_refused(mesh: LocalNode) -> None:
    stub = ProbeServiceStub(mesh.channel("conductor"))
    with pytest.raises(InvalidArgumentError, match="is not a RequestContext"):
        await stub.Echo(probe.EchoRequest(), metadata=(("novamesh-context-bin", b"\xff\xff"),))


async def test_calls_spread_over_all_addresses(mesh: LocalNode) -> None:
    await mesh.serve(ROLE, "host2")
    gateway = await mesh.peer("gateway", "host9")
    assert "," in mesh.book["conductor"]
    channel = gateway.channel("conductor")
    seen = {(await echo(channel)).server.rsplit("/")[-1] for _ in range(50)}
    assert seen == {"host1", "host2"}


async def test_connections_end_with_age() -> None:
    options = NodeOptions(age=Age(most=0.2, grace=0.2), grace=0.0)
    async with local_node(ROLE, wire=True, options=options) as mesh:
        channel = mesh.channel("conductor")
        await echo(channel)
        state = channel.get_state()
        await asyncio.wait_for(channel.wait_for_state_change(state), 5)
        await echo(channel)


def test_addresses() -> None:
    assert target_of("10.0.0.1:5") == "10.0.0.1:5"
    assert target_of("10.0.0.1:5, 10.0.0.2:5") == "ipv4:10.0.0.1:5,10.0.0.2:5"
    assert target_of("[::1]:5,[::2]:5") == "ipv6:[::1]:5,[::2]:5"
    assert target_of("dns:///conductors:5") == "dns:///conductors:5"
    with pytest.raises(ValueError, match="must be IP addresses"):
        target_of("one:5,two:5")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://a/b",
        "https://a/b/c",
        "spiffe://a/b/c/d",
        "spiffe://A/b/c",
        "spiffe://a/stranger/c",
        "spiffe://a/b/",
    ],
)
def test_what_is_no_peer(uri: str) -> None:
    with pytest.raises(ValueError, match=r"form spiffe|must be"):
        parse_spiffe_id(uri)


def test_a_certificate_that_names_nobody() -> None:
    with pytest.raises(UnauthenticatedError, match="names one SPIFFE id, this one 0"):
        peer_and_end(Authority.create("any").certificate_pem)
    assert (
        check_peer(Peer("c", "compute", "Host_1.example.org")).host_name
        == "Host_1.example.org.compute.c.mesh"
    )


async def test_a_stopped_node_is_gone_for_its_neighbours() -> None:
    neighbours = Neighbours()
    async with local_node(ROLE) as mesh:
        neighbours = mesh.neighbours or neighbours
        assert neighbours.by_role("conductor") is not None
    assert neighbours.by_role("conductor") is None
