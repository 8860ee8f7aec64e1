"""The network of one Linux host: bridge by rtnetlink, dnsmasq, nftables. See docs/drivers/network.md."""

from drivers.network.linux.driver import LinuxNetworkDriver
from drivers.network.linux.options import METADATA_HOST, METADATA_PORT, LinuxNetworkOptions

__all__ = ["METADATA_HOST", "METADATA_PORT", "LinuxNetworkDriver", "LinuxNetworkOptions"]
