"""Compute hosts and what is claimed on them.

The columns `*_used` are the claims, what the host keeps for itself included. They grow by one conditional
UPDATE, so two conductors can't claim the same room, and shrink in the transaction that frees it.
"""

import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, delete, func, select, update

from db.dialect import insert_missing
from db.schema.base import timestamp
from db.schema.compute import hosts, instances
from novamesh.conductor.v1.host_service_pb2 import RegisterHostRequest
from novamesh.failures import GenerationConflictError, InvalidArgumentError, NotFoundError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host, HostInventory, HostUsage

_c = hosts.c
_ROW = select(hosts)
_BY_NAME = _ROW.where(_c.name == bindparam("host_name"))
_CLAIM = (
    update(hosts)
    .where(
        _c.name == bindparam("host_name"),
        _c.vcpus_used + bindparam("vcpus") <= _c.vcpus_limit,
        _c.memory_mb_used + bindparam("memory") <= _c.memory_mb_limit,
        _c.disk_gb_used + bindparam("disk") <= _c.disk_gb_limit,
        _c.enabled.is_(True),
        _c.forced_down.is_(False),
    )
    .values(
        vcpus_used=_c.vcpus_used + bindparam("vcpus"),
        memory_mb_used=_c.memory_mb_used + bindparam("memory"),
        disk_gb_used=_c.disk_gb_used + bindparam("disk"),
        instances=_c.instances + 1,
        generation=_c.generation + 1,
    )
)
_CLAIM_IN_ZONE = _CLAIM.where(_c.availability_zone == bindparam("zone"))
_RELEASE = (
    update(hosts)
    .where(_c.name == bindparam("host_name"))
    .values(
        vcpus_used=_c.vcpus_used - bindparam("vcpus"),
        memory_mb_used=_c.memory_mb_used - bindparam("memory"),
        disk_gb_used=_c.disk_gb_used - bindparam("disk"),
        instances=_c.instances - 1,
        generation=_c.generation + 1,
    )
)
_REPORT = (
    update(hosts)
    .where(_c.name == bindparam("host_name"))
    .values(
        reported_at=bindparam("at"),
        uptime=bindparam("words"),
        generation=case((_c.disk_available_gb == bindparam("free"), _c.generation), else_=_c.generation + 1),
        disk_available_gb=bindparam("free"),
    )
)
_WORK = (
    select(instances.c.host, func.count())
    .where(instances.c.task_state > 0, instances.c.host != "", instances.c.deleted_at.is_(None))
    .group_by(instances.c.host)
)
RATIOS = ("cpu_allocation_ratio", "ram_allocation_ratio", "disk_allocation_ratio")
UPDATABLE = ("enabled", "disabled_reason", "forced_down", *RATIOS)


@dataclass(frozen=True)
class Size:
    """What an instance takes of a host."""

    vcpus: int
    memory_mb: int
    disk_gb: int

    @classmethod
    def of(cls, flavor: Flavor) -> "Size":
        """A flavor's. Swap counts as disk, in whole GiB."""
        return cls(
            flavor.vcpus, flavor.memory_mb, flavor.root_gb + flavor.ephemeral_gb - (-flavor.swap_mb // 1024)
        )

    def values(self) -> dict[str, int]:
        """As the statements here want it."""
        return {"vcpus": self.vcpus, "memory": self.memory_mb, "disk": self.disk_gb}


def message(found: Row[Any], up_since: datetime) -> Host:
    """A row as a message; up when its last heartbeat is not before `up_since`."""
    inventory = HostInventory.FromString(found.inventory)
    inventory.disk_available_gb = found.disk_available_gb
    inventory.uptime = found.uptime
    return Host(
        id=found.id,
        generation=found.generation,
        number=found.number,
        name=found.name,
        address=found.address,
        network_address=found.network_address,
        availability_zone=found.availability_zone,
        inventory=inventory,
        usage=HostUsage(
            vcpus=found.vcpus_used,
            memory_mb=found.memory_mb_used,
            disk_gb=found.disk_gb_used,
            instances=found.instances,
        ),
        enabled=found.enabled,
        disabled_reason=found.disabled_reason,
        forced_down=found.forced_down,
        up=found.reported_at >= up_since and not found.forced_down,
        cpu_allocation_ratio=found.cpu_allocation_ratio,
        ram_allocation_ratio=found.ram_allocation_ratio,
        disk_allocation_ratio=found.disk_allocation_ratio,
        reported_at=timestamp(found.reported_at),
        created_at=timestamp(found.created_at),
        updated_at=timestamp(found.updated_at),
        aggregate_metadata=found.aggregate_metadata or {},
    )


def get(connection: Connection, name: str, up_since: datetime) -> Host:
    """One host by name.

    Raises NotFoundError.
    """
    found = connection.execute(_BY_NAME, {"host_name": name}).first()
    if found is None:
        raise NotFoundError("host", name)
    return message(found, up_since)


def lock(connection: Connection, name: str) -> None:
    """Nobody else may lock or change a host's record until this transaction ends; nothing for one that isn't
    there."""
    connection.execute(_BY_NAME.with_for_update(), {"host_name": name}).first()


def get_by_id(connection: Connection, host_id: str, up_since: datetime) -> Host:
    """One host by its UUID.

    Raises NotFoundError.
    """
    found = connection.execute(_ROW.where(_c.id == host_id)).first()
    if found is None:
        raise NotFoundError("host", host_id)
    return message(found, up_since)


def get_many(connection: Connection, names: Sequence[str], up_since: datetime) -> list[Host]:
    """Hosts by name, in the order of their number; one that isn't there is left out."""
    rows = connection.execute(_ROW.where(_c.name.in_(list(names))).order_by(_c.number))
    return [message(found, up_since) for found in rows]


def everyone(connection: Connection, up_since: datetime) -> list[Host]:
    """All hosts in the order of their number."""
    return [message(found, up_since) for found in connection.execute(_ROW.order_by(_c.number))]


def generations(connection: Connection, up_since: datetime) -> dict[str, tuple[int, bool, int]]:
    """Generation of each host, whether it is up, and its workload: enough to see which changed."""
    rows = connection.execute(select(_c.name, _c.generation, _c.reported_at, _c.forced_down))
    work = _workloads(connection)
    return {
        found[0]: (found[1], found[2] >= up_since and not found[3], work.get(found[0], 0)) for found in rows
    }


def with_workload(connection: Connection, found: list[Host]) -> list[Host]:
    """The same hosts, with the number of their instances that have a task under way."""
    work = _workloads(connection) if found else {}
    for host in found:
        host.usage.workload = work.get(host.name, 0)
    return found


def _workloads(connection: Connection) -> dict[str, int]:
    """By host. Few instances have a task at any time, and an index leads to them."""
    return {row[0]: row[1] for row in connection.execute(_WORK)}


def register(connection: Connection, request: RegisterHostRequest, zone: str, at: datetime) -> Host:
    """Make a host's record, in the cloud's default zone, or tell it what the host has now. Claims and
    aggregates stay; what an administrator has set stays."""
    insert_missing(
        connection,
        hosts,
        {
            "id": str(uuid.uuid4()),
            "generation": 0,
            "name": request.name,
            "address": "",
            "network_address": "",
            "availability_zone": zone,
            "inventory": b"",
            **dict.fromkeys(("vcpus_used", "memory_mb_used", "disk_gb_used", "instances"), 0),
            **dict.fromkeys(("vcpus_limit", "memory_mb_limit", "disk_gb_limit"), 0),
            **dict.fromkeys(("reserved_vcpus", "reserved_memory_mb", "reserved_disk_gb"), 0),
            **dict.fromkeys(RATIOS, 1.0),
            **dict.fromkeys(("ratios_set", "forced_down"), False),
            "enabled": True,
            "disabled_reason": "",
            "disk_available_gb": 0,
            "uptime": "",
            "reported_at": at,
            "created_at": at,
            "updated_at": at,
        },
    )
    old = connection.execute(_BY_NAME.with_for_update(), {"host_name": request.name}).one()
    ratios = {name: getattr(old if old.ratios_set else request, name) or 1.0 for name in RATIOS}
    reserved = {
        "reserved_vcpus": request.reserved_host_cpus,
        "reserved_memory_mb": request.reserved_host_memory_mb,
        "reserved_disk_gb": -(-request.reserved_host_disk_mb // 1024),
    }
    connection.execute(
        update(hosts)
        .where(_c.number == old.number)
        .values(
            address=request.address,
            network_address=request.network_address,
            inventory=request.inventory.SerializeToString(),
            disk_available_gb=request.inventory.disk_available_gb,
            uptime=request.inventory.uptime[:255],
            vcpus_used=_c.vcpus_used + reserved["reserved_vcpus"] - old.reserved_vcpus,
            memory_mb_used=_c.memory_mb_used + reserved["reserved_memory_mb"] - old.reserved_memory_mb,
            disk_gb_used=_c.disk_gb_used + reserved["reserved_disk_gb"] - old.reserved_disk_gb,
            **limits(request.inventory, ratios),
            **ratios,
            **reserved,
            reported_at=at,
            updated_at=at,
            generation=_c.generation + 1,
        )
    )
    return get(connection, request.name, at)


def limits(inventory: HostInventory, ratios: dict[str, float]) -> dict[str, int]:
    """How far claims may go."""
    return {
        "vcpus_limit": math.floor(inventory.vcpus * ratios["cpu_allocation_ratio"]),
        "memory_mb_limit": math.floor(inventory.memory_mb * ratios["ram_allocation_ratio"]),
        "disk_gb_limit": math.floor(inventory.disk_gb * ratios["disk_allocation_ratio"]),
    }


@dataclass(frozen=True)
class Heartbeat:
    """What a host says every few seconds."""

    name: str
    at: datetime
    disk_available_gb: int
    uptime: str


def report(connection: Connection, beats: Iterable[Heartbeat]) -> None:
    """Write heartbeats. They count as a change of the record only when the free disk is another."""
    values = [
        {
            "host_name": beat.name,
            "at": beat.at,
            "free": beat.disk_available_gb,
            "words": beat.uptime[:255],
        }
        for beat in beats
    ]
    if values:
        connection.execute(_REPORT, values)


@dataclass(frozen=True)
class Change:
    """What an administrator wants of a host."""

    host: Host
    mask: Sequence[str]
    at: datetime
    up_since: datetime


def change(connection: Connection, wanted: Change) -> Host:
    """Change what an administrator may.

    Raises NotFoundError, GenerationConflictError, InvalidArgumentError (update_mask).
    """
    host = wanted.host
    for name in wanted.mask:
        if name not in UPDATABLE:
            raise InvalidArgumentError("update_mask", f"{name} of a host can't be changed.")
    old = connection.execute(_BY_NAME.with_for_update(), {"host_name": host.name}).first()
    if old is None:
        raise NotFoundError("host", host.name)
    if host.generation and host.generation != old.generation:
        raise GenerationConflictError("host", host.name, host.generation, old.generation)
    values: dict[str, Any] = {name: getattr(host, name) for name in wanted.mask}
    if set(wanted.mask) & set(RATIOS):
        ratios = {name: values.get(name, getattr(old, name)) for name in RATIOS}
        values |= {"ratios_set": True, **limits(HostInventory.FromString(old.inventory), ratios)}
    connection.execute(
        update(hosts)
        .where(_c.number == old.number)
        .values(**values, updated_at=wanted.at, generation=_c.generation + 1)
    )
    return get(connection, host.name, wanted.up_since)


def remove(connection: Connection, name: str) -> None:
    """Remove the record of a host without instances, and its places in aggregates.

    Raises NotFoundError; InvalidArgumentError (name) while instances are on it.
    """
    found = connection.execute(_BY_NAME.with_for_update(), {"host_name": name}).first()
    if found is None:
        raise NotFoundError("host", name)
    if found.instances:
        raise InvalidArgumentError("name", f"Host {name} still has {found.instances} instances.")
    connection.execute(delete(hosts).where(_c.number == found.number))


def claim(connection: Connection, name: str, size: Size, zone: str | None = None) -> bool:
    """Take room for one instance. False when there isn't enough, or the host is disabled, down by order or
    gone; where a zone is named, also when the host isn't in it any more."""
    values: dict[str, Any] = {"host_name": name, **size.values()}
    if zone is None:
        return connection.execute(_CLAIM, values).rowcount == 1
    return connection.execute(_CLAIM_IN_ZONE, values | {"zone": zone}).rowcount == 1


def release(connection: Connection, name: str, size: Size) -> None:
    """Give back what `claim` took; nothing when the host's record is gone."""
    connection.execute(_RELEASE, {"host_name": name, **size.values()})


def up_since(at: datetime, service_down_time: float) -> datetime:
    """The oldest heartbeat that still counts as alive."""
    return at - timedelta(seconds=service_down_time)
