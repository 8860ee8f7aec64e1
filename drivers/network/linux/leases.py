"""dnsmasq's leases: reading its file, and giving a lease back in a guest's name."""

import os
import socket
import struct
from ipaddress import IPv4Address
from pathlib import Path

_SERVER_PORT = 67
_MAGIC_COOKIE = b"\x63\x82\x53\x63"
_RELEASE = 7


def read(path: Path) -> dict[str, tuple[str, str]]:
    """Leases by address: MAC address and client id (`*` for none). Nothing when there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    leases = {}
    for line in lines:
        # expiry, MAC, address, name, client id; IPv6 leases follow a line of another form.
        fields = line.split()
        if len(fields) == 5 and ":" not in fields[2]:
            leases[fields[2]] = (fields[1].lower(), fields[4])
    return leases


def release_packet(mac: str, address: str, server: str, client_id: str = "*") -> bytes:
    """A DHCPRELEASE as the guest itself would send it (RFC 2131, table 5)."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    header = struct.pack(
        "!BBBB4sHH4s4s4s4s16s64s128s",
        1, 1, len(hardware), 0, os.urandom(4), 0, 0,
        IPv4Address(address).packed, bytes(4), bytes(4), bytes(4),
        hardware, b"", b"",
    )  # fmt: skip
    options = bytes([53, 1, _RELEASE, 54, 4]) + IPv4Address(server).packed
    if client_id != "*":
        identity = bytes.fromhex(client_id.replace(":", ""))
        options += bytes([61, len(identity)]) + identity
    return header + _MAGIC_COOKIE + options + b"\xff"


def give_back(bridge: str, server: str, mac: str, address: str, client_id: str = "*") -> None:
    """Send the DHCP server on `bridge` a release. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
        # dnsmasq looks at the interface that a packet came in by: without this it would be lo.
        packets.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bridge.encode() + b"\0")
        packets.sendto(release_packet(mac, address, server, client_id), (server, _SERVER_PORT))
