"""Users kept by this cloud itself, and tokens signed by it."""

from drivers.identity.embedded.driver import EmbeddedIdentity
from drivers.identity.embedded.options import EmbeddedOptions

__all__ = ["EmbeddedIdentity", "EmbeddedOptions"]
