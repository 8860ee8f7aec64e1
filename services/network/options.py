"""What can be set about a network role and about the network that a new cloud begins with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkOptions:
    """Section `[network]`; the names are Nova's where Nova has the option."""

    host: str = ""
    """Host whose cards this role makes ready; empty for the host in its certificate."""
    tear_down_on_stop: bool = False
    """Remove bridges, rules and DHCP servers when the role stops. `novamesh up` does; a host whose guests
    go on without the role must not."""
    fixed_range: str = "10.80.0.0/24"
    """Subnet of the network that a new cloud is given."""
    network_label: str = "private"
    """What users call that network."""
    flat_network_bridge: str = "br100"
    """Its bridge."""
    flat_interface: str = ""
    """Interface that the bridge takes in, with its addresses; empty for none."""
    rpc_timeout: float = 10.0
    """Seconds that one call to the conductor may take."""
    retry_interval: float = 2.0
    """Seconds before a conductor that did not answer is asked again."""
