"""What can be configured of the cert role: section `[cert]`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CertOptions:
    """Options of the cert role. Times are in seconds."""

    ca_path: Path = Path(".novamesh/certs")
    """Where ca.pem and ca-key.pem lie, and the open join tokens."""
    join_listen: str = ""
    """host:port where new hosts join, over TLS without a client certificate; empty: none can."""
    join_address: str = ""
    """host:port that join tokens name, when new hosts reach join_listen by another address."""
    certificate_life: float = 7 * 86400.0
    """How long a certificate is valid. It is renewed after two thirds of that."""
    join_token_life: float = 3600.0
    """How long a join token can be used, unless its maker says otherwise."""
