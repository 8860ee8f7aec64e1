"""Limits, and counters of what is used.

The counters are rows, changed in the transaction that uses or frees: their lock is what makes the limits
exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, literal, or_, select, union_all, update

from db.dialect import insert_missing
from db.schema.compute import quota_classes, quota_usages, quotas

_u = quota_usages.c
_WHOSE = (_u.project_id == bindparam("project"), or_(_u.user_id == "", _u.user_id == bindparam("user")))
_LOCK = (
    select(_u.user_id, _u.instances, _u.cores, _u.ram).where(*_WHOSE).order_by(_u.user_id).with_for_update()
)
_USE = (
    update(quota_usages)
    .where(*_WHOSE)
    .values(
        instances=_u.instances + bindparam("more_instances"),
        cores=_u.cores + bindparam("more_cores"),
        ram=_u.ram + bindparam("more_ram"),
    )
)
# The class whose limits hold where a project has none of its own.
DEFAULT_CLASS = "default"
_CLASS = select(quota_classes.c.resource, quota_classes.c.hard_limit).where(
    quota_classes.c.class_name == bindparam("class_name")
)
# The class's first, so that a project's own come over them.
_FROM_CLASS, _FROM_PROJECT = 0, 1
_LIMITS = union_all(
    select(
        literal(_FROM_CLASS).label("source"),
        literal("").label("user_id"),
        quota_classes.c.resource,
        quota_classes.c.hard_limit,
    ).where(quota_classes.c.class_name == DEFAULT_CLASS),
    select(literal(_FROM_PROJECT), quotas.c.user_id, quotas.c.resource, quotas.c.hard_limit).where(
        quotas.c.project_id == bindparam("project"),
        or_(quotas.c.user_id == "", quotas.c.user_id == bindparam("user")),
    ),
).order_by("source")


@dataclass(frozen=True)
class Usage:
    """What instances use: their number, virtual CPUs and MiB of memory."""

    instances: int = 0
    cores: int = 0
    ram: int = 0


def limits(
    connection: Connection, project_id: str, user_id: str = ""
) -> tuple[dict[str, int], dict[str, int]]:
    """The limits set for a project or by the class `default`, and those set for one user in it, by
    resource."""
    of_project: dict[str, int] = {}
    of_user: dict[str, int] = {}
    for found in connection.execute(_LIMITS, {"project": project_id, "user": user_id}):
        (of_user if found[1] else of_project)[found[2]] = found[3]
    return of_project, of_user


def limits_of_class(connection: Connection, class_name: str) -> dict[str, int]:
    """The limits set in a class, by resource."""
    return {found[0]: found[1] for found in connection.execute(_CLASS, {"class_name": class_name})}


def set_limits_of_class(connection: Connection, class_name: str, new: Mapping[str, int]) -> None:
    """Set limits of a class by resource."""
    if not new:
        return
    connection.execute(
        delete(quota_classes).where(
            quota_classes.c.class_name == class_name, quota_classes.c.resource.in_(list(new))
        )
    )
    connection.execute(
        insert(quota_classes),
        [
            {"class_name": class_name, "resource": resource, "hard_limit": limit}
            for resource, limit in new.items()
        ],
    )


def given_to_users(connection: Connection, project_id: str) -> dict[str, int]:
    """The sum of the limits set for users of a project, by resource; -1 where one of them has none."""
    c = quotas.c
    rows = connection.execute(
        select(c.resource, func.sum(c.hard_limit), func.min(c.hard_limit))
        .where(c.project_id == project_id, c.user_id != "")
        .group_by(c.resource)
    )
    return {resource: -1 if least < 0 else int(total) for resource, total, least in rows}


def set_limits(connection: Connection, project_id: str, user_id: str, new: Mapping[str, int]) -> None:
    """Set limits by resource."""
    if not new:
        return
    connection.execute(
        delete(quotas).where(
            quotas.c.project_id == project_id,
            quotas.c.user_id == user_id,
            quotas.c.resource.in_(list(new)),
        )
    )
    connection.execute(
        insert(quotas),
        [
            {"project_id": project_id, "user_id": user_id, "resource": resource, "hard_limit": limit}
            for resource, limit in new.items()
        ],
    )


def remove_limits(connection: Connection, project_id: str, user_id: str) -> None:
    """Forget the limits of one user, or of a project and all users in it."""
    gone = delete(quotas).where(quotas.c.project_id == project_id)
    if user_id:
        gone = gone.where(quotas.c.user_id == user_id)
    connection.execute(gone)


def usage(connection: Connection, project_id: str, user_id: str = "") -> Usage:
    """What a project, or one user in it, uses."""
    found = connection.execute(
        select(_u.instances, _u.cores, _u.ram).where(_u.project_id == project_id, _u.user_id == user_id)
    ).first()
    return Usage(*found) if found else Usage()


def lock_usage(connection: Connection, project_id: str, user_id: str) -> tuple[Usage, Usage]:
    """What the project and the user in it use. Nobody else changes it until this transaction ends."""
    key = {"project": project_id, "user": user_id}
    found = {row[0]: Usage(*row[1:]) for row in connection.execute(_LOCK, key)}
    if found.keys() != {"", user_id}:
        for user in ("", user_id):
            insert_missing(
                connection,
                quota_usages,
                {"project_id": project_id, "user_id": user, "instances": 0, "cores": 0, "ram": 0},
            )
        found = {row[0]: Usage(*row[1:]) for row in connection.execute(_LOCK, key)}
    return found[""], found[user_id]


def use(connection: Connection, project_id: str, user_id: str, more: Usage) -> None:
    """Count more, or less with negative numbers."""
    connection.execute(
        _USE,
        {
            "project": project_id,
            "user": user_id,
            "more_instances": more.instances,
            "more_cores": more.cores,
            "more_ram": more.ram,
        },
    )
