"""Networks."""

import ipaddress
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select

from db.dialect import insert_number
from db.schema.base import timestamp
from db.schema.networks import FREE, RESERVED, TAKEN, fixed_ips, networks
from novamesh.failures import AlreadyExistsError, InvalidArgumentError, NotFoundError
from novamesh.types.v1.network_pb2 import Network

_c = networks.c
_BY_ID = select(_c.number, _c.body).where(_c.id == bindparam("network_id"))
_ALL = select(_c.body).order_by(_c.number)
_USABLE = _ALL.where(or_(_c.project_id == bindparam("project"), _c.project_id == ""))
_LONG_AGO = datetime(1970, 1, 1)


def add(connection: Connection, network: Network, reserved: Sequence[str], at: datetime) -> Network:
    """Make a network with all its addresses; `reserved` ones are never given out.

    Raises AlreadyExistsError for a label, a bridge with another subnet, or a subnet that overlaps.
    """
    made = Network()
    made.CopyFrom(network)
    made.generation = 1
    made.created_at.CopyFrom(timestamp(at))
    subnet = ipaddress.IPv4Network(made.cidr)
    for other in everyone(connection):
        if other.label == made.label and other.project_id == made.project_id:
            raise AlreadyExistsError("network", made.label, f"A network named {made.label} is there already.")
        if ipaddress.IPv4Network(other.cidr).overlaps(subnet):
            raise AlreadyExistsError(
                "network",
                made.cidr,
                f"The subnet {made.cidr} overlaps {other.cidr} of network {other.label}.",
            )
    insert_number(
        connection,
        networks,
        {
            "id": made.id,
            "generation": 1,
            "body": made.SerializeToString(),
            "label": made.label,
            "project_id": made.project_id,
            "created_at": at,
        },
    )
    kept = set(reserved)
    connection.execute(
        insert(fixed_ips),
        [
            {
                "network_id": made.id,
                "address": str(address),
                "state": RESERVED if str(address) in kept else FREE,
                "freed_at": _LONG_AGO,
                "leased": False,
            }
            for address in subnet
        ],
    )
    return made


def get(connection: Connection, network_id: str) -> Network:
    """One network.

    Raises NotFoundError.
    """
    found = connection.execute(_BY_ID, {"network_id": network_id}).first()
    if found is None:
        raise NotFoundError("network", network_id)
    return Network.FromString(found.body)


def get_by_label(connection: Connection, label: str) -> Network:
    """One network by what users call it.

    Raises NotFoundError.
    """
    found = connection.execute(select(_c.body).where(_c.label == label).order_by(_c.number)).first()
    if found is None:
        raise NotFoundError("network", label)
    return Network.FromString(found.body)


def everyone(connection: Connection, project_id: str = "") -> list[Network]:
    """The networks that a project may use, or all, in the order of creation."""
    rows = connection.execute(_USABLE, {"project": project_id}) if project_id else connection.execute(_ALL)
    return [Network.FromString(found.body) for found in rows]


def remove(connection: Connection, network_id: str) -> None:
    """Remove a network without instances.

    Raises NotFoundError, InvalidArgumentError (id) while addresses are in use.
    """
    get(connection, network_id)
    used = connection.execute(
        select(func.count())
        .select_from(fixed_ips)
        .where(fixed_ips.c.network_id == network_id, fixed_ips.c.state == TAKEN)
    ).scalar_one()
    if used:
        raise InvalidArgumentError("id", f"Network {network_id} still has {used} addresses in use.")
    connection.execute(delete(fixed_ips).where(fixed_ips.c.network_id == network_id))
    connection.execute(delete(networks).where(_c.id == network_id))
