"""Options of the gateways that serve OpenStack's REST APIs."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GatewayOptions:
    """What an operator may choose about the Compute API. Names as Nova has them."""

    osapi_compute_listen: str = "127.0.0.1"
    """Address that the Compute API listens on."""
    osapi_compute_listen_port: int = 8774
    """TCP port of the Compute API; 0 for any free one."""
    compute_link_prefix: str = ""
    """Start of every link in answers, such as `https://cloud:8774`; empty for the Host header's."""
    glance_link_prefix: str = ""
    """Start of links to images, for example `https://image:9292` for the Image API; empty for the proxy of
    the Compute API."""
    enable_proxy_headers_parsing: bool = False
    """Believe X-Forwarded-Proto and X-Forwarded-Host. Only behind a proxy that sets them."""
    max_request_body_size: int = 114688
    """Longest request body in bytes; a longer one gets 413."""
    max_limit: int = 1000
    """Most entries of one page of a list."""
    enable_instance_password: bool = True
    """Answer a create with `adminPass`."""
    password_length: int = 12
    """Characters of a generated `adminPass`."""
    policy_file: Path | None = None
    """YAML file with rules that replace the defaults; None for the defaults alone."""
    rpc_timeout: float = 30.0
    """Seconds that one call to another role may take."""
    host_cache_seconds: float = 2.0
    """How long the gateway goes on with what it knows of the hosts: their state for `host_status`, their
    addresses for console output, the availability zones."""
    default_schedule_zone: str = ""
    """Zone of servers whose creation names none; empty for any zone. Such a server stays in it."""
    internal_service_availability_zone: str = "internal"
    """Zone shown for services other than compute."""
    identity_url: str = "http://127.0.0.1:5000/v3"
    """Where to log in: sent in WWW-Authenticate with every 401."""
    access_log: bool = False
    """Log every request, not only those that change something or fail."""
