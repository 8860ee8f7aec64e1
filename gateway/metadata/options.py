"""Options of the gateway that answers guests."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MetadataApiOptions:
    """Section `[metadata_api]`; the names are Nova's where Nova has the option."""

    metadata_listen: tuple[str, ...] = ("127.0.0.1", "169.254.87.75")
    """Addresses to listen on, there yet or not. The second is the network driver's `metadata_host`."""
    metadata_listen_port: int = 8775
    """TCP port; 0 for any free one."""
    service_metadata_proxy: bool = False
    """Believe the headers X-Instance-ID and X-Tenant-ID when X-Instance-ID-Signature proves them."""
    metadata_proxy_shared_secret: str = ""
    """What a proxy signs X-Instance-ID with. Needed by `service_metadata_proxy`."""
    use_forwarded_for: bool = False
    """Take the last address of X-Forwarded-For for the guest's. Only behind a proxy that sets it."""
    rpc_timeout: float = 10.0
    """Seconds that one call to the metadata role may take."""
    max_password_size: int = 1020
    """Longest password in bytes that a guest may store."""

    def __post_init__(self) -> None:
        """Refuse a proxy that anybody could be. Raises ValueError."""
        if self.service_metadata_proxy and not self.metadata_proxy_shared_secret:
            raise ValueError("service_metadata_proxy needs a metadata_proxy_shared_secret")
