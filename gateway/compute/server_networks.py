"""The networks that a create asks for."""

import ipaddress
from typing import Any

from gateway.faults import HttpError
from novamesh.conductor.v1.instance_service_pb2 import NetworkRequest


def networks_of(given: Any, max_count: int) -> tuple[list[NetworkRequest], bool]:
    """The cards wanted, and whether none is: (requests, no network). No requests means the first network."""
    if given is None or given == "auto":
        return [], False
    if given == "none":
        return [], True
    requests = []
    for card in given:
        if card.get("port"):
            raise HttpError(
                400,
                "Invalid input for field/attribute port. "
                "This cloud's networks have no ports: name a network by uuid, and fixed_ip if you like.",
            )
        uuid = card.get("uuid") or ""
        # From the days before ports: `br-<uuid>`.
        if uuid.startswith("br-"):
            uuid = uuid.partition("-")[2]
        if not uuid:
            raise HttpError(400, "Bad network format: missing 'uuid'")
        address = card.get("fixed_ip") or ""
        if address:
            if ipaddress.ip_address(address).version != 4:
                raise HttpError(400, f"Invalid fixed IP address ({address}): only IPv4 can be chosen.")
            if max_count > 1:
                raise HttpError(
                    400,
                    "Failed to launch instances: max_count cannot be greater than 1 if an fixed_ip is "
                    "specified.",
                )
        requests.append(NetworkRequest(network_id=uuid, address=address, tag=card.get("tag") or ""))
    return requests, False
