"""Calls by a process that has no certificate yet: server TLS only, to a CA known by its fingerprint."""

import asyncio
import select
import socket
from dataclasses import dataclass

import grpc
import grpc.aio
from cryptography.hazmat.primitives import hashes, serialization
from OpenSSL import SSL

from novamesh.failures import UnauthenticatedError, UnavailableError
from services.mesh.channel import MeshChannel
from services.mesh.identity import STRANGER, Peer
from services.mesh.local import Served
from services.mesh.policy import POLICY, Policy

_HANDSHAKE_TIMEOUT = 10.0


@dataclass(frozen=True)
class _Roots:
    pem: bytes

    def channel_credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.pem)


@dataclass(frozen=True)
class _Stranger:
    """A caller without a certificate."""

    identity: Peer
    certificate: _Roots
    policy: Policy
    traced: bool = False

    def retire(self, channel: grpc.aio.Channel) -> None:
        raise AssertionError("a stranger has no certificate to renew")


@dataclass
class _Address:
    role: str
    part: str
    expected_name: str
    target: str

    def local(self) -> Served | None:
        return None

    def address(self) -> str:
        return self.target


def stranger_channel(address: str, server: Peer, roots: bytes) -> grpc.aio.Channel:
    """A channel to `address` that shows no certificate, and wants one of `server`'s role and cluster."""
    origin = _Stranger(Peer(server.cluster, STRANGER, ""), _Roots(roots), POLICY)
    return MeshChannel(
        origin, _Address(server.role, f"{server.role} at {address}", server.role_name, address)
    )


async def fetch_root(address: str, fingerprint: str) -> bytes:
    """The CA certificate (PEM) that the server at `host:port` shows, if its SHA-256 is `fingerprint`.

    Nothing is told to the server before. Raises UnavailableError when it can't
    be reached, UnauthenticatedError when it shows no such CA.
    """
    try:
        return await asyncio.to_thread(_fetch_root, address, fingerprint)
    except (OSError, SSL.Error) as error:
        raise UnavailableError("cert", f"{address} can't be reached to join: {error}") from None


def _fetch_root(address: str, fingerprint: str) -> bytes:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), _HANDSHAKE_TIMEOUT) as plain:
        connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), plain)
        # gRPC servers end handshakes that don't ask for HTTP/2.
        connection.set_alpn_protos([b"h2"])
        connection.set_connect_state()
        while True:
            try:
                connection.do_handshake()
                break
            except SSL.WantReadError:
                if not select.select([plain], [], [], _HANDSHAKE_TIMEOUT)[0]:
                    raise TimeoutError("no answer to the TLS handshake") from None
        for shown in connection.get_peer_cert_chain() or ():
            certificate = shown.to_cryptography()
            if certificate.fingerprint(hashes.SHA256()).hex() == fingerprint:
                return certificate.public_bytes(serialization.Encoding.PEM)
    raise UnauthenticatedError(
        f"{address} doesn't show the CA that the join token was made with: it is another cloud, or none."
    )
