"""Puts an instance near an address."""

import ipaddress

import numpy as np

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class SimpleCIDRAffinityFilter:
    """Hosts whose own address is in the network of the hint `build_near_host_ip`, whose size the hint `cidr`
    says; /24 where that isn't given."""

    name = "SimpleCIDRAffinityFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts in that network; none when the hints name no network."""
        near = request.scheduler_hints.get("build_near_host_ip")
        if not near:
            return None
        try:
            network = ipaddress.ip_network(near + request.scheduler_hints.get("cidr", "/24"), strict=False)
        except ValueError:
            return np.zeros(len(hosts), dtype=np.bool_)
        return np.array([_within(one.host_ip, network) for one in hosts.inventories], dtype=np.bool_)


def _within(address: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:
        # A host that hasn't said its address.
        return False
