"""Fixed addresses: given out and taken back, one row each.

A free row is locked as it is chosen, and rows that another transaction has locked are passed over where the
database can do that. So no address is ever on two cards, and nobody waits for another's.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, or_, select, update

from db.schema.compute import instances
from db.schema.networks import FREE, RESERVED, TAKEN, fixed_ips, virtual_interfaces
from novamesh.failures import InvalidArgumentError, ResourceExhaustedError
from novamesh.types.v1.network_pb2 import Network, VirtualInterface

_c = fixed_ips.c
_NEXT = (
    select(_c.number, _c.address)
    .where(_c.network_id == bindparam("network"), _c.state == FREE)
    .order_by(_c.freed_at, _c.number)
    .limit(bindparam("wanted"))
    .with_for_update(skip_locked=True)
)
# The same, waiting for those that others hold: they may give them back.
_NEXT_OF_ALL = (
    select(_c.number, _c.address)
    .where(_c.network_id == bindparam("network"), _c.state == FREE)
    .order_by(_c.freed_at, _c.number)
    .limit(bindparam("wanted"))
    .with_for_update()
)
_LOOK = select(_c.number, _c.state).where(
    _c.network_id == bindparam("network"), _c.address == bindparam("wanted")
)
_NAMED = _LOOK.with_for_update()
_TAKE = (
    update(fixed_ips)
    .where(_c.number == bindparam("key"))
    .values(state=TAKEN, interface_id=bindparam("card"), instance_id=bindparam("holder"))
)
_FREE = (
    update(fixed_ips)
    .where(_c.instance_id == bindparam("holder"))
    .values(state=FREE, interface_id=None, instance_id=None, leased=False, freed_at=bindparam("at"))
)


def take(connection: Connection, cards: list[VirtualInterface]) -> None:
    """Give each of these cards, all on one network and each with an id and an instance, an address of its
    network.

    A card whose `address` is set gets that one. Raises ResourceExhaustedError (fixed_ips) when the network
    has too few left, and InvalidArgumentError (address) for one that isn't free.
    """
    network = cards[0].network
    rows = {card.id: _named(connection, network, card.address) for card in cards if card.address}
    unnamed = [card for card in cards if not card.address]
    if unnamed:
        wanted = {"network": network.id, "wanted": len(unnamed)}
        free = connection.execute(_NEXT, wanted).all()
        if len(free) < len(unnamed):
            free = connection.execute(_NEXT_OF_ALL, wanted).all()
        if len(free) < len(unnamed):
            raise ResourceExhaustedError("fixed_ips", f"Network {network.label} has no free addresses left.")
        for card, found in zip(unnamed, free, strict=True):
            card.address = found.address
            rows[card.id] = found.number
    connection.execute(
        _TAKE, [{"key": rows[card.id], "card": card.id, "holder": card.instance_id} for card in cards]
    )


def check(connection: Connection, network: Network, address: str) -> None:
    """Raise what `take` would now for a card with this address; locks nothing and promises nothing."""
    _named(connection, network, address, _LOOK)


def _named(connection: Connection, network: Network, address: str, query: Select[Any] = _NAMED) -> int:
    found = connection.execute(query, {"network": network.id, "wanted": address}).first()
    if found is None or found.state == RESERVED:
        raise InvalidArgumentError(
            "address", f"{address} is not an address that network {network.label} gives out."
        )
    if found.state == TAKEN:
        raise InvalidArgumentError("address", f"The address {address} is in use already.")
    return int(found.number)


def give_back(connection: Connection, instance_id: str, at: datetime) -> None:
    """Free all addresses of an instance."""
    connection.execute(_FREE, {"holder": instance_id, "at": at})


def holder(connection: Connection, address: str, host: str = "") -> str:
    """The instance that holds an address now, on `host` where it is given; empty for none."""
    wanted = select(virtual_interfaces.c.instance_id).where(
        or_(virtual_interfaces.c.address == address, virtual_interfaces.c.address_v6 == address)
    )
    if host:
        wanted = wanted.where(virtual_interfaces.c.host == host)
    found = connection.execute(wanted).first()
    return found[0] if found else ""


def count(connection: Connection, project_id: str) -> int:
    """How many addresses the instances of a project hold."""
    return connection.execute(
        select(func.count())
        .select_from(fixed_ips)
        .join(instances, instances.c.id == _c.instance_id)
        .where(instances.c.project_id == project_id, _c.state == TAKEN)
    ).scalar_one()
