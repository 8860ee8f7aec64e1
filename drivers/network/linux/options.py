"""What an operator may choose about a Linux host's network. Names are Nova's where Nova has them."""

from dataclasses import dataclass
from pathlib import Path

# Where the gateway's metadata listener is reached from guests. An address of its own, so that
# one socket serves every network, now and later, and the host's own 169.254.169.254, which it
# may need for itself when it is a guest of another cloud, stays where it is.
METADATA_HOST = "169.254.87.75"
METADATA_PORT = 8775


@dataclass(frozen=True)
class LinuxNetworkOptions:
    """Options of the Linux network driver."""

    host: str = ""
    """This host's name: networks of other hosts get a bridge and rules here, no DHCP and no NAT."""
    networks_path: Path = Path("/run/novamesh/networks")
    """Folder of dnsmasq's files; its unprivileged user must be able to enter it."""
    nft_table: str = "novamesh"
    """Name of the nftables tables (bridge and inet); two clouds on one machine need two."""
    public_interface: str = ""
    """Interface that guests leave the host by; empty for whichever the routes choose."""
    dmz_cidr: tuple[str, ...] = ()
    """Destinations that see guests under their own address."""
    metadata_host: str = METADATA_HOST
    """Where 169.254.169.254:80 leads. A link-local address is put on this host's loopback."""
    metadata_port: int = METADATA_PORT
    """Port of the metadata listener there."""
    guest_tcp_ports: tuple[int, ...] = ()
    """Ports of this host that guests may connect to, beside DHCP, DNS, ping and metadata."""
    dhcp_lease_time: int = 86400
    """Seconds that a lease is good for."""
    dhcp_domain: str = "novalocal"
    """Domain of the guests' names; empty for none."""
    force_dhcp_release: bool = True
    """Give a lease back when its card is unplugged, so that its address can be another guest's at once."""
    serve_dns: bool = True
    """Whether dnsmasq answers DNS on the gateway's address; off when something else has port 53 there."""
    dns_server: tuple[str, ...] = ()
    """Name servers that dnsmasq asks; empty for those of the host's /etc/resolv.conf."""
    dnsmasq_config_file: str = ""
    """A file of further dnsmasq settings; empty for none."""
    network_device_mtu: int = 0
    """MTU of bridges whose network has none of its own; 0 for the kernel's."""
