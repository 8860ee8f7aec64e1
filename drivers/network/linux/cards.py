"""Checks of what comes in, before it is written into rules, files and commands."""

import re
from ipaddress import IPv4Address, IPv4Network

from novamesh.failures import InvalidArgumentError, NotSupportedError
from novamesh.types.v1.network_pb2 import Network as NetworkRecord
from novamesh.types.v1.network_pb2 import NetworkMode, VirtualInterface

_DEVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def check_network(network: NetworkRecord) -> None:
    """Raise NotSupportedError or InvalidArgumentError when this driver can't make the network."""
    if network.mode != NetworkMode.NETWORK_MODE_FLAT_DHCP:
        name = NetworkMode.Name(network.mode).removeprefix("NETWORK_MODE_")
        raise NotSupportedError(
            "network_mode", f"Network {network.label} has mode {name}; this driver makes FLAT_DHCP."
        )
    if network.cidr_v6:
        raise NotSupportedError(
            "ipv6", f"Network {network.label} has an IPv6 subnet; this driver makes none."
        )
    _match(_ID, "network.id", network.id)
    _match(_DEVICE, "network.bridge", network.bridge)
    if network.bridge_interface:
        _match(_DEVICE, "network.bridge_interface", network.bridge_interface)
    try:
        subnet = IPv4Network(network.cidr)
    except ValueError as error:
        raise InvalidArgumentError(
            "network.cidr", f"{network.cidr!r} is not an IPv4 subnet: {error}"
        ) from error
    for field, text in (("gateway", network.gateway), ("dhcp_server", network.dhcp_server)):
        if (field == "gateway" or text) and _address(f"network.{field}", text) not in subnet:
            raise InvalidArgumentError(f"network.{field}", f"{text} is not in {network.cidr}.")
    for field, text in (("dhcp_start", network.dhcp_start), ("dns1", network.dns1), ("dns2", network.dns2)):
        if text:
            _address(f"network.{field}", text)


def check_card(card: VirtualInterface) -> None:
    """Raise InvalidArgumentError or NotSupportedError when this driver can't plug the card."""
    check_network(card.network)
    if not card.id:
        raise InvalidArgumentError("id", "A card has no id.")
    _match(_DEVICE, "device", card.device)
    _match(_MAC, "mac_address", card.mac_address)
    if _address("address", card.address) not in IPv4Network(card.network.cidr):
        raise InvalidArgumentError("address", f"{card.address} is not in {card.network.cidr}.")


def dhcp_name(card: VirtualInterface) -> str:
    """The name that DHCP gives to the guest: its own where that can be one, else one from its address."""
    if _LABEL.fullmatch(card.hostname) and not card.hostname.isdigit():
        return card.hostname
    return "host-" + card.address.replace(".", "-")


def _match(pattern: re.Pattern[str], field: str, text: str) -> None:
    if not pattern.fullmatch(text):
        raise InvalidArgumentError(field, f"{text!r} can't be a {field.rpartition('.')[2]}.")


def _address(field: str, text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise InvalidArgumentError(field, f"{text!r} is not an IPv4 address.") from error
