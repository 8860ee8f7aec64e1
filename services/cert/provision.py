"""Certificates for a cloud on one machine, before any of it runs."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from services.mesh.authority import NODE_LIFE, Authority
from services.mesh.certificates import Certificate, now
from services.mesh.identity import Peer
from services.mesh.policy.roles import ADMIN

# People don't renew what they hold.
ADMIN_LIFE = timedelta(days=365)


def provision(
    directory: Path, cluster: str, host: str, roles: Iterable[str], life: timedelta = NODE_LIFE
) -> dict[str, Certificate]:
    """The certificate of each role on this host, made where there is none or it is getting old.

    Writes ca.pem, ca-key.pem, `<role>.pem`, `<role>-key.pem`, admin.pem and
    admin-key.pem into `directory`, the keys for their owner alone. Raises
    OSError for the disk and ValueError when the directory is another cluster's.
    """
    authority = Authority.read_or_create(directory, cluster)
    certificates = {
        role: _ensure(authority, directory, role, Peer(cluster, role, host), life) for role in roles
    }
    _ensure(authority, directory, ADMIN, Peer(cluster, ADMIN, host), ADMIN_LIFE)
    return certificates


def _ensure(authority: Authority, directory: Path, name: str, peer: Peer, life: timedelta) -> Certificate:
    try:
        kept = Certificate.read(directory, name)
        if kept.peer == peer and now() < kept.renew_at() and authority.issued(kept):
            return kept
    except (FileNotFoundError, ValueError):
        # None yet, or nothing that can be used: make one.
        pass
    fresh = authority.issue(peer, life)
    fresh.write(directory, name)
    return fresh
