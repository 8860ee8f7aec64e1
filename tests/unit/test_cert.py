"""The cert role: joining, renewing, and what a certificate is good for."""

import stat
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from novamesh.cert.v1 import certificate_service_pb2 as cert
from novamesh.cert.v1 import user_certificate_service_pb2 as user_cert
from novamesh.cert.v1.certificate_service_pb2_grpc import CertificateServiceStub
from novamesh.cert.v1.join_service_pb2 import IssueCertificateRequest
from novamesh.cert.v1.join_service_pb2_grpc import JoinServiceStub
from novamesh.cert.v1.user_certificate_service_pb2_grpc import UserCertificateServiceStub
from novamesh.failures import (
    InvalidArgumentError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)
from services.cert import CertOptions, CertRole, JoinTokenText, join, provision
from services.cert.tokens import JoinTokens
from services.mesh import Certificate, Neighbours, Node, NodeOptions, Peer
from services.mesh.authority import Authority, new_key, new_request
from services.mesh.bootstrap import stranger_channel
from services.mesh.certificates import now
from services.mesh.renewal import RenewByCert

CLUSTER = "joined"


class Cloud:
    """A cert role with its join port, and an operator."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        certificates = provision(directory, CLUSTER, "host1", ["cert", "compute"])
        self.book: dict[str, str] = {}
        self.options = NodeOptions(grace=0.0)
        self.node = Node(certificates["cert"], self.book, options=self.options)
        self.role = CertRole(self.node, CertOptions(ca_path=directory, join_listen="127.0.0.1:0"))
        self.admin = Node(Certificate.read(directory, "admin"), self.book, options=self.options)

    async def start(self) -> None:
        self.book["cert"] = await self.node.add(self.role, "127.0.0.1:0")
        await self.node.start()

    async def stop(self) -> None:
        await self.admin.stop()
        await self.node.stop()

    async def token(self, role: str = "compute", host: str = "host7") -> cert.CreateJoinTokenResponse:
        stub = CertificateServiceStub(self.admin.channel("cert"))
        return await stub.CreateJoinToken(cert.CreateJoinTokenRequest(role=role, host=host))


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    made = Cloud(tmp_path / "certs")
    await made.start()
    yield made
    await made.stop()


async def test_a_host_joins_once(cloud: Cloud) -> None:
    made = await cloud.token()
    certificate = await join(made.token)
    assert certificate.peer == Peer(CLUSTER, "compute", "host7")

    node = Node(certificate, cloud.book, options=cloud.options)
    root = await CertificateServiceStub(node.channel("cert")).GetRootCertificate(
        cert.GetRootCertificateRequest()
    )
    assert root.certificate.encode() == certificate.roots
    await node.stop()

    with pytest.raises(UnauthenticatedError, match="used already"):
        await join(made.token)


async def test_tokens_are_listed_and_deleted(cloud: Cloud) -> None:
    made = await cloud.token(host="host8")
    stub = CertificateServiceStub(cloud.admin.channel("cert"))
    listed = await stub.ListJoinTokens(cert.ListJoinTokensRequest())
    assert [t.host for t in listed.join_tokens] == ["host8"]
    assert JoinTokenText.parse(made.token).secret not in (cloud.directory / "join-tokens.json").read_text()
    await stub.DeleteJoinToken(cert.DeleteJoinTokenRequest(id=made.join_token.id))
    with pytest.raises(UnauthenticatedError):
        await join(made.token)
    with pytest.raises(NotFoundError):
        await stub.DeleteJoinToken(cert.DeleteJoinTokenRequest(id=made.join_token.id))


def test_a_token_ends(tmp_path: Path) -> None:
    clock = [1000.0]
    tokens = JoinTokens(tmp_path / "tokens.json", lambda: clock[0])
    secret, _ = tokens.create("compute", "host1", 60)
    again = JoinTokens(tmp_path / "tokens.json", lambda: clock[0])
    assert [t.host for t in again.open()] == ["host1"]
    clock[0] += 61
    with pytest.raises(UnauthenticatedError, match="has ended"):
        again.use(secret)


async def test_a_token_of_another_cloud_is_not_told_to_this_one(cloud: Cloud, tmp_path: Path) -> None:
    said = JoinTokenText.parse((await cloud.token()).token)
    foreign = replace(said, fingerprint=Authority.create("other").fingerprint())
    with pytest.raises(UnauthenticatedError, match="another cloud"):
        await join(foreign.encode())
    # The right token was not used up by that.
    assert (await join(said.encode())).peer.host == "host7"


async def test_nobody_listens_at_the_tokens_address(cloud: Cloud) -> None:
    said = JoinTokenText.parse((await cloud.token()).token)
    with pytest.raises(UnavailableError, match="can't be reached to join"):
        await join(replace(said, address="127.0.0.1:1").encode())


@pytest.mark.parametrize("text", ["", "nmj1.", "nmj1.e30", "hello", "nmj1.WzFd"])
def test_not_a_token(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        JoinTokenText.parse(text)
    assert caught.value.detail.field == "token"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("role", "host", "field"),
    [("king", "host1", "role"), ("compute", "a host", "host"), ("compute", "", "host")],
)
async def test_what_no_token_is_made_for(cloud: Cloud, role: str, host: str, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await cloud.token(role, host)
    assert caught.value.detail.field == field  # type: ignore[attr-defined]


async def test_only_an_operator_makes_tokens(cloud: Cloud) -> None:
    node = Node(Certificate.read(cloud.directory, "compute"), cloud.book, options=cloud.options)
    with pytest.raises(PermissionDeniedError, match="compute may not call CreateJoinToken"):
        await CertificateServiceStub(node.channel("cert")).CreateJoinToken(cert.CreateJoinTokenRequest())
    await node.stop()


async def test_the_join_port_serves_nothing_else(cloud: Cloud) -> None:
    said = JoinTokenText.parse((await cloud.token()).token)
    roots = (cloud.directory / "ca.pem").read_bytes()
    async with stranger_channel(said.address, Peer(CLUSTER, "cert", ""), roots) as channel:
        with pytest.raises(NotSupportedError):
            await CertificateServiceStub(channel).GetRootCertificate(cert.GetRootCertificateRequest())
        request = IssueCertificateRequest(secret=said.secret, certificate_request=b"nonsense")
        with pytest.raises(InvalidArgumentError):
            await JoinServiceStub(channel).IssueCertificate(request)


async def test_a_stranger_gets_nowhere_else(cloud: Cloud) -> None:
    roots = (cloud.directory / "ca.pem").read_bytes()
    async with stranger_channel(cloud.book["cert"], Peer(CLUSTER, "cert", ""), roots) as channel:
        with pytest.raises(UnavailableError, match="certificate"):
            await CertificateServiceStub(channel).GetRootCertificate(
                cert.GetRootCertificateRequest(), timeout=5
            )


async def test_renewal_keeps_the_name_and_the_file(cloud: Cloud) -> None:
    old = Certificate.read(cloud.directory, "compute")
    node = Node(old, cloud.book, options=cloud.options)
    fresh = await RenewByCert(cloud.directory, "compute")(node)
    assert fresh.peer == old.peer
    assert fresh.key != old.key
    assert Certificate.read(cloud.directory, "compute") == fresh
    await node.stop()


async def test_user_certificates_are_refused_by_name(cloud: Cloud) -> None:
    gateway = Node(
        Authority.read(cloud.directory).issue(Peer(CLUSTER, "gateway", "h")),
        cloud.book,
        options=cloud.options,
    )
    stub = UserCertificateServiceStub(gateway.channel("cert"))
    calls: list[Awaitable[object]] = [
        stub.CreateUserCertificate(user_cert.CreateUserCertificateRequest()),
        stub.DecryptBundleKey(user_cert.DecryptBundleKeyRequest()),
    ]
    for name, call in zip(("CreateUserCertificate", "DecryptBundleKey"), calls, strict=True):
        with pytest.raises(NotSupportedError, match=name):
            await call
    await gateway.stop()


def test_provision_keeps_what_is_good(tmp_path: Path) -> None:
    first = provision(tmp_path, CLUSTER, "host1", ["compute"])
    assert provision(tmp_path, CLUSTER, "host1", ["compute"]) == first
    assert provision(tmp_path, CLUSTER, "host2", ["compute"]) != first
    for name in ("ca-key.pem", "admin-key.pem", "compute-key.pem"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    with pytest.raises(ValueError, match="is the CA of joined, not of other"):
        provision(tmp_path, "other", "host1", ["compute"])


def test_provision_replaces_what_is_old_or_foreign(tmp_path: Path) -> None:
    provision(tmp_path, CLUSTER, "host1", [])
    authority = Authority.read(tmp_path)
    peer = Peer(CLUSTER, "compute", "host1")
    for bad in (
        authority.issue(peer, timedelta(seconds=1)),
        replace(Authority.create(CLUSTER).issue(peer), roots=authority.certificate_pem),
    ):
        bad.write(tmp_path, "compute")
        made = provision(tmp_path, CLUSTER, "host1", ["compute"])["compute"]
        assert made != bad
        assert made.not_after > now() + timedelta(days=6)
        assert authority.issued(made)


def test_a_request_names_nobody() -> None:
    authority = Authority.create(CLUSTER)
    chain = authority.sign_request(new_request(new_key()), Peer(CLUSTER, "compute", "host1"))
    leaf, root = x509.load_pem_x509_certificates(chain)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://joined/compute/host1"]
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


async def test_a_shared_process_needs_no_network(tmp_path: Path) -> None:
    certificates = provision(tmp_path, CLUSTER, "host1", ["cert", "compute"])
    neighbours = Neighbours()
    node = Node(certificates["cert"], {}, neighbours)
    await node.add(CertRole(node, CertOptions(ca_path=tmp_path)), "127.0.0.1:0")
    await node.start()
    compute = Node(certificates["compute"], {}, neighbours)
    fresh = await RenewByCert()(compute)
    assert fresh.peer == compute.identity
    await node.stop()
