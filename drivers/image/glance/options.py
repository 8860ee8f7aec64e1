"""Options of the Glance driver, Nova's and keystoneauth's names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GlanceOptions:
    """Section [glance] of the configuration."""

    endpoint_override: str = "http://127.0.0.1:9292"
    """Where Glance answers, without /v2."""
    auth_url: str = "http://127.0.0.1:5000/v3"
    """Keystone, with its version."""
    username: str = "novamesh"
    """A user with the role admin: which user may see which image is checked by the image role."""
    password: str = ""
    """Its password."""
    project_name: str = "service"
    """The project that it logs in to."""
    user_domain_name: str = "Default"
    """The user's domain."""
    project_domain_name: str = "Default"
    """The project's domain."""
    cafile: str = ""
    """Certificate authorities for https, a PEM file; empty for the system's."""
    timeout: float = 30.0
    """Seconds that one request may take; for data, seconds without any."""
