"""The network role: a host made ready for its guests' network cards. See docs/roles/network.md."""

from services.network.options import NetworkOptions
from services.network.role import NetworkRole

__all__ = ["NetworkOptions", "NetworkRole"]
