"""Make the records of new instances out of a request: all in the transaction that counts them against the
quota."""

import re
import secrets
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db import addresses, flavors, instances, keypairs, networks, operations, server_groups
from db.database import Connection
from db.operations import Lease, Work
from db.schema.base import timestamp
from novamesh.conductor.v1.instance_service_pb2 import CreateInstancesRequest
from novamesh.failures import InvalidArgumentError, NotFoundError, QuotaExceededError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import Operation, OperationKind
from novamesh.types.v1.server_group_pb2 import ServerGroup
from services.conductor import limits, states
from services.conductor.edits import PINNED_ZONE
from services.conductor.limits import Owner
from services.conductor.placement import REQUESTED_HOST

_NOT_IN_A_HOSTNAME = re.compile(r"[^A-Za-z0-9.-]")
# The image property by which an image demands a config drive.
_CONFIG_DRIVE = "image_img_config_drive"
_ALPHABET = string.ascii_lowercase + string.digits
# What the template may set; the conductor sets everything else.
CHOSEN = (
    "display_description",
    "image_id",
    "kernel_id",
    "ramdisk_id",
    "key_name",
    "key_data",
    "user_data",
    "config_drive",
    "access_ip_v4",
    "access_ip_v6",
    "availability_zone",
    "auto_disk_config",
    "forced_host",
)


@dataclass(frozen=True)
class Acceptance:
    """A request to create instances, with what the conductor adds to it."""

    request: CreateInstancesRequest
    owner: Owner
    at: datetime
    lease: Lease | None
    attempts: int
    quota: Mapping[str, int]
    # True to give every instance a config drive.
    force_config_drive: bool = False


@dataclass(frozen=True)
class Accepted:
    """What came of it."""

    instances: list[Instance]
    works: list[Work]
    # True when the same request had been accepted before.
    repeated: bool = False


def reservation_id() -> str:
    """`r-` and 8 characters."""
    return "r-" + "".join(secrets.choice(_ALPHABET) for _ in range(8))


def hostname(instance: Instance) -> str:
    """A name that DNS allows, made of the display name; `server-` and the id where nothing is left of
    that."""
    name = _NOT_IN_A_HOSTNAME.sub("", instance.display_name.replace(" ", "-").replace("_", "-")).lower()
    return name.strip(".-")[:63].rstrip(".-") or f"server-{instance.id}"


def accept(connection: Connection, asked: Acceptance) -> Accepted:
    """Write the instances and their CREATE operations.

    Raises QuotaExceededError, InvalidArgumentError, NotFoundError (flavor, keypair, network, server_group).
    """
    request = asked.request
    least = max(1, request.min_count)
    most = max(least, request.max_count)
    flavor = flavors.get(connection, request.flavor_id, asked.owner.project_id)
    if flavor.disabled:
        raise NotFoundError("flavor", request.flavor_id)
    template = _template(connection, asked, flavor)
    cards = _cards(connection, asked, most)
    items = len(request.template.metadata)
    # Before the counters, as everywhere: two who lock them the other way round would deadlock.
    group = _group(connection, asked)
    try:
        admitted = limits.take_instances(connection, asked.owner, flavor, (least, most), asked.quota)
    except QuotaExceededError:
        # Perhaps by the same request, whose answer was lost.
        if known := _known(connection, asked):
            return known
        raise
    # Looked for under the lock of the usage, so that the same request twice at once makes one of each.
    if known := _known(connection, asked):
        limits.give_back(connection, asked.owner, flavor, admitted)
        return known
    if items or group is not None or template.injected_files:
        held = limits.limits_of(connection, asked.owner, asked.quota)
        limits.check_count("metadata_items", held[0]["metadata_items"], 0, items)
        limits.check_files(held[0], template.injected_files)
        if group is not None:
            limits.check_group(connection, asked.owner, group, admitted, held)
    accepted = _write(connection, asked, template, (admitted, cards))
    if group is not None:
        server_groups.join(connection, group.id, [one.id for one in accepted.instances])
    return accepted


def _group(connection: Connection, asked: Acceptance) -> ServerGroup | None:
    """The server group that the instances are to be in, locked; None for none."""
    group_id = asked.request.template.scheduler_hints.get(server_groups.HINT, "")
    if not group_id:
        return None
    group = server_groups.lock(connection, group_id)
    if group.project_id != asked.owner.project_id:
        raise server_groups.missing(group_id)
    return group


def _known(connection: Connection, asked: Acceptance) -> Accepted | None:
    """What the same request made before, if anything."""
    request_id, kind = asked.request.request_id, OperationKind.OPERATION_KIND_CREATE
    known = operations.of_request(connection, request_id, kind) if request_id else ()
    if not known:
        return None
    found = instances.get_many(connection, [one.instance_id for one in known])
    return Accepted([found[one.instance_id] for one in known], [], repeated=True)


def _template(connection: Connection, asked: Acceptance, flavor: Flavor) -> Instance:
    chosen = asked.request.template
    made = Instance(
        project_id=asked.owner.project_id,
        user_id=asked.owner.user_id,
        vm_state=states.BUILDING,
        task_state=states.SCHEDULING,
        flavor=flavor,
        tags=chosen.tags,
        block_devices=chosen.block_devices,
        security_groups=chosen.security_groups or ["default"],
        reservation_id=reservation_id(),
        created_at=timestamp(asked.at),
        updated_at=timestamp(asked.at),
    )
    for name in CHOSEN:
        setattr(made, name, getattr(chosen, name))
    made.metadata.update(chosen.metadata)
    made.system_metadata.update(chosen.system_metadata)
    if chosen.availability_zone:
        made.system_metadata[PINNED_ZONE] = chosen.availability_zone
    made.scheduler_hints.update(chosen.scheduler_hints)
    made.injected_files.update(chosen.injected_files)
    if asked.force_config_drive or made.system_metadata.get(_CONFIG_DRIVE) == "mandatory":
        made.config_drive = True
    if chosen.key_name and not chosen.key_data:
        made.key_data = keypairs.get(connection, asked.owner.user_id, chosen.key_name).public_key
    return made


def _cards(connection: Connection, asked: Acceptance, count: int) -> list[dict[str, Any]]:
    """The network cards that each instance is to get, networks checked and chosen."""
    request = asked.request
    if request.no_network:
        return []
    wanted = []
    usable = networks.everyone(connection, asked.owner.project_id)
    by_id = {network.id: network for network in usable}
    for card in request.networks:
        if card.network_id and card.network_id not in by_id:
            raise NotFoundError("network", card.network_id)
        if card.address and count > 1:
            raise InvalidArgumentError("networks", "One fixed address can't be given to several instances.")
        if not card.network_id and not usable:
            raise NotFoundError("network", "default", "There is no network yet.")
        chosen = by_id[card.network_id] if card.network_id else usable[0]
        if card.address:
            # The claim asks again; here the user still gets an answer instead of a server in ERROR.
            addresses.check(connection, chosen, card.address)
        wanted.append({"network": chosen.id, "address": card.address, "tag": card.tag})
    if not request.networks and usable:
        wanted.append({"network": usable[0].id, "address": "", "tag": ""})
    return wanted


def _write(
    connection: Connection, asked: Acceptance, template: Instance, what: tuple[int, list[dict[str, Any]]]
) -> Accepted:
    count, cards = what
    memory: dict[str, Any] = {"cards": cards}
    if asked.request.requested_host:
        memory[REQUESTED_HOST] = asked.request.requested_host
    made: list[Instance] = []
    chosen = asked.request.template
    for index in range(count):
        instance = Instance()
        instance.CopyFrom(template)
        instance.id = str(uuid.uuid4())
        instance.launch_index = index
        suffix = f"-{index + 1}" if count > 1 else ""
        instance.display_name = chosen.display_name + suffix
        instance.hostname = chosen.hostname + suffix if chosen.hostname else hostname(instance)
        made.append(instance)
    instances.add_many(connection, made)
    begun = operations.add_many(
        connection,
        [_create(asked, instance) for instance in made],
        asked.at,
        asked.lease,
        memory,
    )
    return Accepted(made, [Work(operation, dict(memory)) for operation in begun])


def _create(asked: Acceptance, instance: Instance) -> Operation:
    return Operation(
        id=str(uuid.uuid4()),
        kind=OperationKind.OPERATION_KIND_CREATE,
        instance_id=instance.id,
        project_id=instance.project_id,
        user_id=instance.user_id,
        request_id=asked.request.request_id,
        max_attempts=asked.attempts,
    )
