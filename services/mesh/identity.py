"""Who a process is: the SPIFFE id in its certificate, as cluster, role and host."""

import re
from dataclasses import dataclass

SCHEME = "spiffe://"
# The role of a caller on the join port, which asks for no certificate. Nobody is ever certified as it.
STRANGER = "stranger"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}")


@dataclass(frozen=True, slots=True)
class Peer:
    """One process of the mesh: which cloud it belongs to, what it is for and where it runs."""

    cluster: str
    role: str
    host: str

    @property
    def spiffe_id(self) -> str:
        """`spiffe://<cluster>/<role>/<host>`."""
        return f"{SCHEME}{self.cluster}/{self.role}/{self.host}"

    @property
    def role_name(self) -> str:
        """The DNS name that any server of this role answers to in a TLS handshake."""
        return f"{self.role}.{self.cluster}.mesh"

    @property
    def host_name(self) -> str:
        """The DNS name that only this host's server of this role answers to."""
        return f"{self.host}.{self.role}.{self.cluster}.mesh"


def check_peer(peer: Peer) -> Peer:
    """Return `peer` if its parts can stand in a certificate; raise ValueError naming the one that can't."""
    if not _NAME.fullmatch(peer.cluster):
        raise ValueError(f"cluster {peer.cluster!r} must be lower-case letters, digits and hyphens")
    if not _NAME.fullmatch(peer.role) or peer.role == STRANGER:
        raise ValueError(f"role {peer.role!r} must be lower-case letters, digits and hyphens")
    if not _HOST.fullmatch(peer.host):
        raise ValueError(f"host {peer.host!r} must be letters, digits, dots, hyphens and underscores")
    return peer


def parse_spiffe_id(uri: str) -> Peer:
    """The peer that a SPIFFE id names; ValueError when it is not one of ours."""
    parts = uri.removeprefix(SCHEME).split("/")
    if not uri.startswith(SCHEME) or len(parts) != 3:
        raise ValueError(f"{uri!r} is not of the form spiffe://<cluster>/<role>/<host>")
    return check_peer(Peer(*parts))
