"""Take a host's room and the networks' addresses for new instances, and give them back: units of work on
the database."""

import secrets
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from db import addresses, hosts, instances, interfaces, leases, server_groups
from db.database import Connection
from db.hosts import Size
from db.server_groups import Places
from novamesh.failures import Failure, InvalidArgumentError, ResourceExhaustedError
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.network_pb2 import VirtualInterface
from services.conductor import states

# The prefix of the MAC addresses that Nova and Neutron give out.
MAC_PREFIX = "fa:16:3e"


@dataclass(frozen=True)
class Claim:
    """One instance and the hosts proposed for it, the best first."""

    operation_id: str
    instance_id: str
    hosts: Sequence[str]
    # Network cards still to be made: network id and, where the user asked for one, address.
    cards: Sequence[dict[str, Any]]


@dataclass
class Claimed:
    """What became of a batch of claims."""

    # The instances that got a host, with their interfaces, and that host, by instance id.
    placed: dict[str, tuple[Instance, Host]] = field(default_factory=dict)
    # Those whose hosts had no room left.
    refused: list[str] = field(default_factory=list)
    # Those that can't be placed anywhere, with the reason.
    failed: dict[str, Failure] = field(default_factory=dict)
    # Those whose operation this conductor doesn't hold any more.
    overtaken: list[str] = field(default_factory=list)


def claim(
    connection: Connection, owner: str, wanted: Sequence[Claim], at: datetime, up_since: datetime
) -> Claimed:
    """Settle a batch of proposals: host, addresses and the state SPAWNING, for each instance all or
    nothing."""
    result = Claimed()
    locked = instances.lock_many(connection, [one.instance_id for one in wanted])
    mine = leases.held_among(connection, [one.operation_id for one in wanted], owner)
    result.overtaken = [one.instance_id for one in wanted if one.operation_id not in mine]
    proposed = sorted({name for one in wanted for name in one.hosts})
    known = {host.name: host for host in hosts.get_many(connection, proposed, up_since)}
    grouped = [one.id for one in locked.values() if server_groups.HINT in one.scheduler_hints]
    places = server_groups.lock_places(connection, grouped)
    for placed in locked.values():
        if placed.host and placed.id in places:
            places[placed.id].hosts[placed.host] += 1
    got: list[tuple[Claim, Instance, Host]] = []
    # Hosts in one order, so that conductors which claim at once don't deadlock.
    for one in sorted(wanted, key=lambda one: one.hosts[0]):
        instance = locked.get(one.instance_id)
        if instance is None or one.operation_id not in mine:
            continue
        if instance.host in known:
            # Claimed before, by an attempt that didn't live to tell.
            got.append((one, instance, known[instance.host]))
            continue
        host = _claim_one(connection, one, instance, known, places.get(instance.id))
        if host is None:
            result.refused.append(one.instance_id)
        else:
            got.append((one, instance, host))
    failed = _give_cards(connection, got)
    for one, instance, host in got:
        if one.instance_id in failed:
            hosts.release(connection, host.name, Size.of(instance.flavor))
            continue
        _settle(connection, instance, host, at)
        result.placed[instance.id] = (instance, host)
    result.failed = failed
    interfaces.attach_many(connection, [instance for instance, _ in result.placed.values()])
    return result


def _claim_one(
    connection: Connection, one: Claim, instance: Instance, known: dict[str, Host], places: Places | None
) -> Host | None:
    size = Size.of(instance.flavor)
    for name in one.hosts:
        host = known.get(name)
        if host is None or (places is not None and not places.admits(name)):
            continue
        if hosts.claim(connection, name, size, host.availability_zone):
            if places is not None:
                places.hosts[name] += 1
            return host
    return None


def _settle(connection: Connection, instance: Instance, host: Host, at: datetime) -> None:
    if instance.host == host.name and instance.task_state == states.SPAWNING:
        return
    instance.host = host.name
    instance.node = host.inventory.hypervisor_hostname or host.name
    instance.availability_zone = host.availability_zone
    instance.task_state = states.SPAWNING
    instances.save(connection, instance, at)


def _give_cards(connection: Connection, got: Sequence[tuple[Claim, Instance, Host]]) -> dict[str, Failure]:
    """Make the network cards that are missing, and move those that are there. Returns who went without."""
    failed: dict[str, Failure] = {}
    there = interfaces.holders(connection, [instance.id for _, instance, _ in got])
    new: dict[str, list[VirtualInterface]] = defaultdict(list)
    for one, instance, host in got:
        if instance.id in there:
            interfaces.move(connection, instance.id, host.name)
            continue
        for position, card in enumerate(one.cards):
            made = VirtualInterface(
                id=str(uuid.uuid4()),
                instance_id=instance.id,
                address=card["address"],
                position=position,
                hostname=instance.hostname,
                host=host.name,
                # Work that was accepted before cards had tags says nothing of them.
                tag=card.get("tag", ""),
            )
            new[card["network"]].append(made)
    networks = interfaces.networks_of(connection, new)
    for network_id, cards in new.items():
        for made in cards:
            made.network.CopyFrom(networks[network_id])
        failed |= _address(connection, cards)
    ready = [made for cards in new.values() for made in cards if made.instance_id not in failed]
    _give_macs(connection, ready)
    interfaces.add(connection, ready)
    return failed


def _address(connection: Connection, cards: list[VirtualInterface]) -> dict[str, Failure]:
    try:
        addresses.take(connection, cards)
    except (ResourceExhaustedError, InvalidArgumentError) as failure:
        if len(cards) == 1:
            return {cards[0].instance_id: failure}
    else:
        return {}
    # Not enough for all, or one asked for too much: one by one, so that who can have one does.
    failed: dict[str, Failure] = {}
    for card in cards:
        failed |= _address(connection, [card])
    return failed


def _give_macs(connection: Connection, cards: Sequence[VirtualInterface]) -> None:
    wanting = list(cards)
    given: set[str] = set()
    while wanting:
        for card in wanting:
            tail = secrets.token_bytes(3)
            card.mac_address = f"{MAC_PREFIX}:{tail[0]:02x}:{tail[1]:02x}:{tail[2]:02x}"
        taken = interfaces.taken_macs(connection, [card.mac_address for card in wanting])
        again = []
        for card in wanting:
            if card.mac_address in taken or card.mac_address in given:
                again.append(card)
            given.add(card.mac_address)
        wanting = again


def leave_host(connection: Connection, instance: Instance, at: datetime) -> None:
    """Give back the room of an instance that is to be tried elsewhere; its addresses stay its own."""
    hosts.release(connection, instance.host, Size.of(instance.flavor))
    instance.host = ""
    instance.node = ""
    instance.task_state = states.SCHEDULING
    instances.save(connection, instance, at)


def offload(connection: Connection, instance: Instance) -> None:
    """Give back the room of an instance that stays on no host; its addresses stay its own. The caller saves
    the instance."""
    hosts.release(connection, instance.host, Size.of(instance.flavor))
    interfaces.move(connection, instance.id, "")
    instance.host = ""
    instance.node = ""
    # What is on no host is in no zone. One that it is pinned to is known elsewhere.
    instance.availability_zone = ""


def free(connection: Connection, instance: Instance, at: datetime) -> None:
    """Give back all that an instance holds of hosts and networks. The caller saves the instance."""
    if instance.host:
        hosts.release(connection, instance.host, Size.of(instance.flavor))
    addresses.give_back(connection, instance.id, at)
    interfaces.remove(connection, instance.id)
