"""Which limits hold for whom, and whether a request stays within them."""

from collections.abc import Mapping
from dataclasses import dataclass

from db import quotas, server_groups
from db.database import Connection
from db.quotas import Usage
from novamesh.errors.v1.errors_pb2 import QuotaShortage
from novamesh.failures import QuotaExceededError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.migration_pb2 import Migration
from novamesh.types.v1.server_group_pb2 import ServerGroup

# Of the project, and of one user in it where they are narrower; by resource.
Limits = tuple[dict[str, int], dict[str, int]]


@dataclass(frozen=True)
class Owner:
    """Who uses what is limited."""

    project_id: str
    user_id: str


def limits_of(connection: Connection, owner: Owner, defaults: Mapping[str, int]) -> Limits:
    """All limits of the project, and those set for the user alone, by resource."""
    of_project, of_user = quotas.limits(connection, owner.project_id, owner.user_id)
    return {**defaults, **of_project}, of_user


def shortage(resource: str, limit: int, used: int, requested: int) -> QuotaShortage | None:
    """What is missing; None when it fits."""
    if limit < 0 or used + requested <= limit:
        return None
    return QuotaShortage(resource=resource, limit=limit, used=used, requested=requested)


def _used(usage: Usage) -> dict[str, int]:
    return {"instances": usage.instances, "cores": usage.cores, "ram": usage.ram}


def take_instances(
    connection: Connection,
    owner: Owner,
    flavor: Flavor,
    counts: tuple[int, int],
    defaults: Mapping[str, int],
) -> int:
    """Count as many new instances as the limits admit, from counts[0] to counts[1]; returns how many.

    The counters stay locked until the transaction ends. Raises QuotaExceededError when counts[0] are too
    many.
    """
    least, most = counts
    project_usage, user_usage = quotas.lock_usage(connection, owner.project_id, owner.user_id)
    # Under that lock, which whoever lowers a limit takes too.
    limits = limits_of(connection, owner, defaults)
    each = {"instances": 1, "cores": flavor.vcpus, "ram": flavor.memory_mb}
    admitted = most
    shortages: dict[str, QuotaShortage] = {}
    for held, usage in ((limits[0], project_usage), (limits[1], user_usage)):
        used = _used(usage)
        for resource, size in each.items():
            limit = held.get(resource, -1)
            if limit < 0 or size == 0:
                continue
            admitted = min(admitted, max(0, limit - used[resource]) // size)
            missing = shortage(resource, limit, used[resource], size * least)
            if missing is not None:
                shortages.setdefault(resource, missing)
    if shortages:
        raise QuotaExceededError(shortages.values())
    quotas.use(
        connection,
        owner.project_id,
        owner.user_id,
        Usage(admitted, admitted * flavor.vcpus, admitted * flavor.memory_mb),
    )
    return admitted


def take_growth(
    connection: Connection, owner: Owner, old: Flavor, new: Flavor, defaults: Mapping[str, int]
) -> None:
    """Count what a resize adds. What it makes free stays counted until `settle_resize`.

    The counters stay locked until the transaction ends. Raises QuotaExceededError.
    """
    project_usage, user_usage = quotas.lock_usage(connection, owner.project_id, owner.user_id)
    # Under that lock, which whoever lowers a limit takes too.
    limits = limits_of(connection, owner, defaults)
    more = {"cores": max(0, new.vcpus - old.vcpus), "ram": max(0, new.memory_mb - old.memory_mb)}
    shortages: dict[str, QuotaShortage] = {}
    for held, usage in ((limits[0], project_usage), (limits[1], user_usage)):
        used = _used(usage)
        for resource, size in more.items():
            missing = shortage(resource, held.get(resource, -1), used[resource], size) if size else None
            if missing is not None:
                shortages.setdefault(resource, missing)
    if shortages:
        raise QuotaExceededError(shortages.values())
    quotas.use(connection, owner.project_id, owner.user_id, Usage(0, more["cores"], more["ram"]))


def settle_resize(connection: Connection, owner: Owner, migration: Migration, flavor: Flavor) -> None:
    """Count from now on the one of a migration's sizes that the instance has kept."""
    old, new = migration.old_flavor, migration.new_flavor
    cores = max(old.vcpus, new.vcpus) - flavor.vcpus
    ram = max(old.memory_mb, new.memory_mb) - flavor.memory_mb
    if cores or ram:
        quotas.use(connection, owner.project_id, owner.user_id, Usage(0, -cores, -ram))


def check_count(resource: str, limit: int, used: int, requested: int) -> None:
    """Raises QuotaExceededError when `requested` more don't fit."""
    missing = shortage(resource, limit, used, requested)
    if missing is not None:
        raise QuotaExceededError([missing])


def check_files(limits: Mapping[str, int], files: Mapping[str, bytes]) -> None:
    """Raises QuotaExceededError when a request brings too many files, or too long ones or paths."""
    check_count("injected_files", limits["injected_files"], 0, len(files))
    for path, content in files.items():
        check_count("injected_file_path_bytes", limits["injected_file_path_bytes"], 0, len(path.encode()))
        check_count("injected_file_content_bytes", limits["injected_file_content_bytes"], 0, len(content))


def check_group(connection: Connection, owner: Owner, group: ServerGroup, count: int, limits: Limits) -> None:
    """Raises QuotaExceededError (server_group_members) when the user may not put so many more instances into
    a group, which the caller has locked."""
    used = server_groups.count_members(connection, group.id, owner.user_id)
    limit = {**limits[0], **limits[1]}["server_group_members"]
    check_count("server_group_members", limit, used, count)


def give_back(connection: Connection, owner: Owner, flavor: Flavor, count: int) -> None:
    """So many instances of this flavor are gone, or were counted in vain."""
    quotas.use(
        connection,
        owner.project_id,
        owner.user_id,
        Usage(-count, -count * flavor.vcpus, -count * flavor.memory_mb),
    )


def take_again(connection: Connection, owner: Owner, flavor: Flavor) -> None:
    """An instance of this flavor counts again, whatever the limits say."""
    quotas.use(connection, owner.project_id, owner.user_id, Usage(1, flavor.vcpus, flavor.memory_mb))
