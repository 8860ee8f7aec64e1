"""Options of the keystone driver."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class KeystoneOptions:
    """Where the Keystone is, and whom it knows novamesh as. Names are keystonemiddleware's."""

    auth_url: str = "http://127.0.0.1:5000/v3"
    """Keystone's URL, with `/v3` or without."""
    username: str = "novamesh"
    """Service user that may validate tokens: one with the role admin or service."""
    password: str = field(default="", repr=False)
    """Its password."""
    user_domain_name: str = "Default"
    """Its domain."""
    project_name: str = "service"
    """Project of the service user."""
    project_domain_name: str = "Default"
    """That project's domain."""
    cafile: str = ""
    """PEM file of the authority that signed Keystone's certificate; empty for the system's."""
    insecure: bool = False
    """True to take any certificate."""
    token_cache_time: float = 60.0
    """Seconds that an answer about a token is kept: so long may a token live on after it was revoked."""
    token_cache_size: int = 10000
    """Answers kept."""
    http_connect_timeout: float = 5.0
    """Seconds that one request to Keystone may take."""
    http_request_max_retries: int = 1
    """Further attempts when Keystone can't be reached."""
    circuit_failures: int = 5
    """Failures in a row after which Keystone isn't asked for a while."""
    circuit_pause: float = 5.0
    """Seconds of that while."""
