"""Options of the gateway that serves the Identity API."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class IdentityApiOptions:
    """Section [identity_api] of the configuration. Names are Keystone's where it has them."""

    bind_host: str = "127.0.0.1"
    """Address that the Identity API listens on."""
    bind_port: int = 5000
    """TCP port of the Identity API; 0 for any free one."""
    public_endpoint: str = ""
    """Start of links, for example `https://identity.example.com`; empty for the Host header's."""
    policy_file: Path | None = None
    """YAML file with rules that replace the defaults; None for the defaults alone."""
    region: str = "RegionOne"
    """Region of every endpoint in the catalogue."""
    identity_url: str = "http://127.0.0.1:5000/v3"
    """The catalogue's Identity API; also sent in WWW-Authenticate with every 401."""
    compute_url: str = "http://127.0.0.1:8774/v2.1"
    """The catalogue's Compute API; empty for none."""
    compute_legacy_url: str = ""
    """The catalogue's Compute API v2 (`compute_legacy`); empty for none."""
    image_url: str = "http://127.0.0.1:9292"
    """The catalogue's Image API; empty for none."""
    more_endpoints: tuple[str, ...] = ()
    """More of the catalogue, each `type=url`; `%(project_id)s` in a URL becomes the token's project."""
    rpc_timeout: float = 30.0
    """Seconds that one call to another role may take."""
    max_request_body_size: int = 114688
    """Longest request body in bytes; a longer one gets 413."""

    def __post_init__(self) -> None:
        for entry in self.more_endpoints:
            kind, mark, url = entry.partition("=")
            if not (kind and mark and url):
                raise ValueError(f"more_endpoints: each entry is `type=url`, not {entry!r}")
