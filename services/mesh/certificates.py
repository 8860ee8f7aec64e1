"""A node's certificate and key, as gRPC needs them and as they lie on disk."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import grpc
from cryptography import x509

from novamesh.failures import UnauthenticatedError
from services.mesh.identity import SCHEME, Peer, parse_spiffe_id


@dataclass(frozen=True)
class Certificate:
    """A certificate, its key and the CA it trusts. `chain` is the leaf, then the CA; all PEM."""

    chain: bytes
    key: bytes = field(repr=False)
    roots: bytes
    peer: Peer
    not_before: datetime
    not_after: datetime

    @classmethod
    def parse(cls, chain: bytes, key: bytes, roots: bytes) -> "Certificate":
        """Read what a certificate says; ValueError when it isn't a mesh certificate."""
        leaf = x509.load_pem_x509_certificate(chain)
        return cls(chain, key, roots, peer_of(leaf), leaf.not_valid_before_utc, leaf.not_valid_after_utc)

    @classmethod
    def read(cls, directory: Path, name: str) -> "Certificate":
        """Read `<name>.pem`, `<name>-key.pem` and `ca.pem`; OSError or ValueError when they can't be used."""
        return cls.parse(
            (directory / f"{name}.pem").read_bytes(),
            (directory / f"{name}-key.pem").read_bytes(),
            (directory / "ca.pem").read_bytes(),
        )

    def write(self, directory: Path, name: str) -> None:
        """Write the three files that `read` reads, the key for the owner alone, each in one step."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(directory / f"{name}-key.pem", self.key)
        write_public(directory / f"{name}.pem", self.chain)
        write_public(directory / "ca.pem", self.roots)

    def renew_at(self) -> datetime:
        """When two thirds of its life are over."""
        return self.not_before + (self.not_after - self.not_before) * 2 / 3

    def ended(self) -> bool:
        """Whether its life is over."""
        return self.not_after <= now()

    def server_configuration(self) -> grpc.ServerCertificateConfiguration:
        """What a server shows to its clients, and the CA whose clients it accepts."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], self.roots)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """What a client shows to servers, and the CA whose servers it accepts."""
        return grpc.ssl_channel_credentials(self.roots, self.key, self.chain)


def peer_of(certificate: x509.Certificate) -> Peer:
    """The SPIFFE id in a certificate; ValueError when there isn't exactly one."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    uris = [
        uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(SCHEME)
    ]
    if len(uris) != 1:
        raise ValueError(f"a mesh certificate names one SPIFFE id, this one {len(uris)}")
    return parse_spiffe_id(uris[0])


@lru_cache(maxsize=4096)
def peer_and_end(pem: bytes) -> tuple[Peer, float]:
    """The peer in a client's certificate and when it ends (seconds since the epoch).

    Remembered, since a kept connection shows the same certificate at every call.
    Raises UnauthenticatedError when it is not a mesh certificate.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        return peer_of(certificate), certificate.not_valid_after_utc.timestamp()
    except ValueError as error:
        raise UnauthenticatedError(f"The client's certificate can't be used here: {error}.") from None


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, in one step."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Write a file that anybody may read, in one step."""
    _write(path, content, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)
