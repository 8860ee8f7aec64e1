"""The network of one Linux host: bridge by rtnetlink, dnsmasq, nftables. See docs/drivers/network.md.

LinuxNetworkDriver itself is in drivers.network.linux.driver: it brings pyroute2, which a process that only
knows the driver's options can do without.
"""

from drivers.network.linux.options import METADATA_HOST, METADATA_PORT, LinuxNetworkOptions

__all__ = ["METADATA_HOST", "METADATA_PORT", "LinuxNetworkOptions"]
