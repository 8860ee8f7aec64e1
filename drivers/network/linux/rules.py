"""The nftables rules, as text for one transaction. docs/drivers/network.md says why each is there.

Two tables of our own, so that nobody else's rules are touched and all of ours go at once:

- `bridge` keeps a guest from speaking under another's name. Every frame from a tap of ours is
  looked up in sets keyed by the tap's name, so a card costs three set elements and no rule,
  and plugging one takes 0.1 ms whatever the number of guests.
- `inet` routes: NAT out, the way to the metadata service, what guests may reach on the host,
  and that networks are apart.
"""

from collections.abc import Iterable, Sequence

from drivers.network.linux.options import LinuxNetworkOptions
from novamesh.types.v1.network_pb2 import Network, VirtualInterface

# In the DHCP header, 8 bytes of UDP and 28 of BOOTP before it: whose lease the packet is about.
_CHADDR = "@th,288,48"

_BRIDGE_CHAINS = f"""
    chain prerouting {{
        type filter hook prerouting priority -200; policy accept;
        iifname @strangers drop
        iifname @cards goto from_card
    }}
    chain from_card {{
        iifname . ether saddr != @macs drop
        ether type vmap {{ ip : goto from_card_ip, arp : goto from_card_arp }}
        drop
    }}
    chain from_card_ip {{
        ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 goto from_card_dhcp
        iifname . ip saddr != @addresses drop
        udp sport 68 udp dport 67 goto from_card_dhcp
        udp sport 67 drop
        accept
    }}
    chain from_card_dhcp {{
        ether saddr . {_CHADDR} @chaddrs accept
        drop
    }}
    chain from_card_arp {{
        iifname . arp saddr ether != @macs drop
        arp operation request arp saddr ip 0.0.0.0 accept
        iifname . arp saddr ip @addresses accept
        drop
    }}
"""


def full(
    options: LinuxNetworkOptions,
    networks: Sequence[Network],
    cards: Iterable[VirtualInterface],
    strangers: Iterable[str] = (),
) -> str:
    """Both tables, in place of whatever they were. `networks` are those that this host serves."""
    table = options.nft_table
    bridge = _bridge_sets(list(cards), strangers) + _BRIDGE_CHAINS
    inet = _inet_sets(networks) + _nat(options) + _filter(options, networks)
    return f"{remove(table)}table bridge {table} {{{bridge}}}\ntable inet {table} {{{inet}}}\n"


def remove(table: str) -> str:
    """No tables. Each is added first, since deleting one that isn't there would fail."""
    return "".join(
        f"table {family} {table}\ndelete table {family} {table}\n" for family in ("bridge", "inet")
    )


def change(
    table: str,
    gone: Iterable[VirtualInterface],
    come: Iterable[VirtualInterface],
    forgotten: Iterable[str] = (),
) -> str:
    """Some cards fewer, some more. The tables are there, `gone` are in them and `come` are not.

    `forgotten` are strangers that are no interfaces any more.
    """
    lines = [f'delete element bridge {table} strangers {{ "{name}" }}' for name in forgotten]
    for card in gone:
        lines += [
            f"delete element bridge {table} {name} {{ {element} }}" for name, element in _elements(card)
        ]
        lines.append(f'add element bridge {table} strangers {{ "{card.device}" }}')
    for card in come:
        # Added first, because deleting an element that isn't there would fail.
        lines.append(f'add element bridge {table} strangers {{ "{card.device}" }}')
        lines.append(f'delete element bridge {table} strangers {{ "{card.device}" }}')
        lines += [f"add element bridge {table} {name} {{ {element} }}" for name, element in _elements(card)]
    return "\n".join(lines) + "\n"


def _elements(card: VirtualInterface) -> tuple[tuple[str, str], ...]:
    mac = card.mac_address
    return (
        ("cards", f'"{card.device}"'),
        ("macs", f'"{card.device}" . {mac}'),
        ("addresses", f'"{card.device}" . {card.address}'),
        ("chaddrs", f"{mac} . 0x{mac.replace(':', '')}"),
    )


def _bridge_sets(cards: Sequence[VirtualInterface], strangers: Iterable[str]) -> str:
    elements: dict[str, list[str]] = {"cards": [], "macs": [], "addresses": [], "chaddrs": []}
    for card in cards:
        for name, element in _elements(card):
            elements[name].append(element)
    return (
        _set("cards", "type ifname", elements["cards"])
        + _set("macs", "type ifname . ether_addr", elements["macs"])
        + _set("addresses", "type ifname . ipv4_addr", elements["addresses"])
        + _set("chaddrs", f"typeof ether saddr . {_CHADDR}", elements["chaddrs"])
        # Taps whose card was unplugged, or that nobody plugged.
        + _set("strangers", "type ifname", [f'"{name}"' for name in sorted(strangers)])
    )


def _inet_sets(networks: Sequence[Network]) -> str:
    bridges = list(dict.fromkeys(network.bridge for network in networks))
    return (
        _set("bridges", "type ifname", [f'"{name}"' for name in bridges])
        # What br_netfilter, where it is on, shows of frames that are only bridged.
        + _set("bridged", "type ifname . ifname", [f'"{name}" . "{name}"' for name in bridges])
        + _set("fixed", "type ipv4_addr; flags interval; auto-merge", [n.cidr for n in networks])
    )


def _nat(options: LinuxNetworkOptions) -> str:
    host, port = options.metadata_host, options.metadata_port
    out = f'oifname "{options.public_interface}"' if options.public_interface else "oifname != @bridges"
    shown = [*options.dmz_cidr, host]
    return f"""
    chain nat_in {{
        type nat hook prerouting priority dstnat; policy accept;
        iifname @bridges ip daddr 169.254.169.254 tcp dport 80 dnat ip to {host}:{port}
    }}
    chain nat_out {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr @fixed ip daddr {{ {", ".join(shown)} }} accept
        ip saddr @fixed ip daddr != @fixed {out} masquerade
    }}
"""


def _filter(options: LinuxNetworkOptions, networks: Sequence[Network]) -> str:
    host, port = options.metadata_host, options.metadata_port
    services = ["udp dport 67 accept", "icmp type echo-request accept"]
    if options.serve_dns:
        services += ["udp dport 53 accept", "tcp dport 53 accept"]
    if options.guest_tcp_ports:
        services.append(f"tcp dport {{ {', '.join(map(str, options.guest_tcp_ports))} }} accept")
    indent = "\n        "
    own = indent.join(f'iifname "{n.bridge}" ip saddr {n.cidr} goto forward_out' for n in networks)
    return f"""
    chain input {{
        type filter hook input priority filter; policy accept;
        iifname @bridges goto to_host
        iifname != "lo" ip daddr {host} drop
    }}
    chain to_host {{
        ct state established,related accept
        ip daddr {host} tcp dport {port} ct status dnat accept
        {indent.join(services)}
        drop
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname . oifname @bridged accept
        iifname @bridges goto from_guest
        oifname @bridges goto to_guest
    }}
    chain from_guest {{
        {own}
        drop
    }}
    chain forward_out {{
        ct state established,related accept
        ct status dnat accept
        oifname @bridges drop
        accept
    }}
    chain to_guest {{
        ct state established,related accept
        ct status dnat accept
        drop
    }}
"""


def _set(name: str, kind: str, elements: Sequence[str]) -> str:
    inside = f" elements = {{ {', '.join(elements)} }}" if elements else ""
    return f"\n    set {name} {{ {kind};{inside} }}"
