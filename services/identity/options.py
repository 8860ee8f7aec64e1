"""Options of the identity role."""

from dataclasses import dataclass


@dataclass(frozen=True)
class IdentityOptions:
    """What the role itself needs to know; each driver has options of its own."""

    stop_timeout: float = 5.0
    """Seconds that the driver has to stop."""
