"""Options of the gateway that serves the Image API, Glance's names where Glance has them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ImageApiOptions:
    """Section [image_api] of the configuration."""

    bind_host: str = "127.0.0.1"
    """Address that the Image API listens on."""
    bind_port: int = 9292
    """TCP port of the Image API; 0 for any free one."""
    public_endpoint: str = ""
    """Start of the links in version documents, for example `https://image.example.com`; empty for the Host
    header's."""
    policy_file: Path | None = None
    """YAML file with rules that replace the defaults; None for the defaults alone."""
    identity_url: str = "http://127.0.0.1:5000/v3"
    """Where to log in: sent in WWW-Authenticate with every 401."""
    rpc_timeout: float = 30.0
    """Seconds that one call to the image role may take."""
    transfer_timeout: float = 21600.0
    """Seconds that the upload or download of one image may take."""
    max_request_body_size: int = 1 << 20
    """Longest JSON body in bytes; a longer one gets 413. Image data has no such bound here."""
