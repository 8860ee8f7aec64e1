"""Ethernet frames made by hand, for guests that lie."""

import socket
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(source: str, destination: str, kind: int, payload: bytes) -> bytes:
    return mac(destination) + mac(source) + struct.pack("!H", kind) + payload


def ipv4(source: str, destination: str, payload: bytes, protocol: int = 17) -> bytes:
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0,
        socket.inet_aton(source), socket.inet_aton(destination),
    )  # fmt: skip
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack("!H", checksum) + header[12:] + payload


def udp(source_port: int, destination_port: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def dhcp(operation: int, hardware: str, marker: bytes) -> bytes:
    """A BOOTP packet with a DHCP message type; the marker goes where the boot file's name would."""
    head = struct.pack("!BBBB4sHH16s", operation, 1, 6, 0, b"\1\2\3\4", 0, 0, b"")
    return head + struct.pack("!16s64s128s", mac(hardware), b"", marker) + b"\x63\x82\x53\x63\x35\x01\x01\xff"


def arp(operation: int, sender: tuple[str, str], target: tuple[str, str], marker: bytes = b"") -> bytes:
    """Sender and target are (MAC, IPv4 address)."""
    header = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    parts = b"".join(mac(hardware) + socket.inet_aton(address) for hardware, address in (sender, target))
    return header + parts + marker
