"""Network cards of instances, with their networks."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from db.schema.networks import networks, virtual_interfaces
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.network_pb2 import Network, VirtualInterface

cards = virtual_interfaces.c
_COLUMNS = (
    cards.id,
    cards.instance_id,
    cards.network_id,
    cards.mac_address,
    cards.address,
    cards.address_v6,
    cards.position,
    cards.hostname,
    cards.host,
    cards.tag,
)
_OF_ONE = (
    select(*_COLUMNS, networks.c.body)
    .join(networks, networks.c.id == cards.network_id)
    .where(cards.instance_id == bindparam("id"))
    .order_by(cards.position)
)
_OF_MANY = (
    select(*_COLUMNS)
    .where(cards.instance_id.in_(bindparam("ids", expanding=True)))
    .order_by(cards.instance_id, cards.position)
)
_OF_HOST = (
    select(*_COLUMNS).where(cards.host == bindparam("host")).order_by(cards.instance_id, cards.position)
)
_ALL = select(*_COLUMNS).order_by(cards.instance_id, cards.position)
_NETWORKS = select(networks.c.id, networks.c.body).where(networks.c.id.in_(bindparam("ids", expanding=True)))
_MACS = select(cards.mac_address).where(cards.mac_address.in_(bindparam("macs", expanding=True)))
_HOLDERS = select(cards.instance_id).where(cards.instance_id.in_(bindparam("ids", expanding=True)))
_REMOVE = delete(virtual_interfaces).where(cards.instance_id == bindparam("of"))
_MOVE = update(virtual_interfaces).where(cards.instance_id == bindparam("of")).values(host=bindparam("to"))


def _fill(target: VirtualInterface, found: Sequence[Any], network: Network) -> None:
    target.id = found[0]
    target.instance_id = found[1]
    target.network.CopyFrom(network)
    target.mac_address = found[3]
    target.address = found[4]
    target.address_v6 = found[5]
    target.device = device(found[0])
    target.position = found[6]
    target.hostname = found[7]
    target.host = found[8]
    target.tag = found[9]


def device(interface_id: str) -> str:
    """Name of a card's tap device."""
    return "tap" + interface_id[:11]


def attach(connection: Connection, instance: Instance) -> Instance:
    """Put an instance's interfaces into the message, which is the caller's own."""
    for found in connection.execute(_OF_ONE, {"id": instance.id}):
        _fill(instance.interfaces.add(), found, Network.FromString(found[10]))
    return instance


def attach_many(connection: Connection, instances: Sequence[Instance]) -> None:
    """The same for a page of instances, in two statements."""
    if not instances:
        return
    by_id = {instance.id: instance for instance in instances}
    rows = connection.execute(_OF_MANY, {"ids": list(by_id)}).all()
    known = networks_of(connection, {found[2] for found in rows})
    for found in rows:
        _fill(by_id[found[1]].interfaces.add(), found, known[found[2]])


def of_host(connection: Connection, host: str) -> list[VirtualInterface]:
    """The cards of the instances on a host, or all for an empty name."""
    rows = connection.execute(_OF_HOST, {"host": host}).all() if host else connection.execute(_ALL).all()
    known = networks_of(connection, {found[2] for found in rows})
    made = []
    for found in rows:
        card = VirtualInterface()
        _fill(card, found, known[found[2]])
        made.append(card)
    return made


def networks_of(connection: Connection, network_ids: Iterable[str]) -> dict[str, Network]:
    """Networks by id."""
    wanted = list(network_ids)
    if not wanted:
        return {}
    rows = connection.execute(_NETWORKS, {"ids": wanted})
    return {found.id: Network.FromString(found.body) for found in rows}


def add(connection: Connection, made: Sequence[VirtualInterface]) -> None:
    """Insert new cards."""
    if made:
        connection.execute(
            insert(virtual_interfaces),
            [
                {
                    "id": card.id,
                    "instance_id": card.instance_id,
                    "network_id": card.network.id,
                    "mac_address": card.mac_address,
                    "address": card.address,
                    "address_v6": card.address_v6,
                    "position": card.position,
                    "hostname": card.hostname,
                    "host": card.host,
                    "tag": card.tag,
                }
                for card in made
            ],
        )


def move(connection: Connection, instance_id: str, host: str) -> None:
    """The instance's cards are on `host` now; empty for none."""
    connection.execute(_MOVE, {"of": instance_id, "to": host})


def remove(connection: Connection, instance_id: str) -> None:
    """Forget the cards of an instance that is deleted."""
    connection.execute(_REMOVE, {"of": instance_id})


def taken_macs(connection: Connection, macs: Sequence[str]) -> set[str]:
    """Those of these MAC addresses that a card has."""
    rows = connection.execute(_MACS, {"macs": list(macs)})
    return {found[0] for found in rows}


def holders(connection: Connection, instance_ids: Sequence[str]) -> set[str]:
    """Those of these instances that have cards."""
    if not instance_ids:
        return set()
    rows = connection.execute(_HOLDERS, {"ids": list(instance_ids)})
    return {found[0] for found in rows}
