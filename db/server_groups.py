"""Server groups, who is in them, and where their members are."""

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select

from db.schema.base import timestamp
from db.schema.compute import instances
from db.schema.server_groups import server_group_members, server_groups
from novamesh.failures import NotFoundError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.server_group_pb2 import ServerGroup

PAGE = 1000
AFFINITY, ANTI_AFFINITY = "affinity", "anti-affinity"
# What a claim makes sure of; the soft ones are wishes.
HARD = (AFFINITY, ANTI_AFFINITY)
POLICIES = (*HARD, "soft-affinity", "soft-anti-affinity")
# The scheduler hint that puts an instance into a group.
HINT = "group"

_g = server_groups.c
_m = server_group_members.c
_ROW = select(server_groups)
_BY_ID = _ROW.where(_g.id == bindparam("group"))
# Instance, group, policy and the most per host.
_Membership = Row[str, str, str, int]
_OF_INSTANCE = select(_m.group_id).where(_m.instance_id == bindparam("instance"))


@dataclass
class Places:
    """Where the members of one group are, and what its policy makes of that."""

    group_id: str
    policy: str
    # Members that one host may have under anti-affinity.
    most: int
    # Members by host.
    hosts: Counter[str] = field(default_factory=Counter)

    def admits(self, host: str) -> bool:
        """Whether one more member may go to a host. Soft policies admit every host."""
        if self.policy == ANTI_AFFINITY:
            return self.hosts[host] < self.most
        if self.policy == AFFINITY:
            return self.hosts.total() == 0 or self.hosts[host] > 0
        return True


def message(found: Row[Any], members: Sequence[str]) -> ServerGroup:
    """A row and its members as a message."""
    return ServerGroup(
        id=found.id,
        generation=found.generation,
        project_id=found.project_id,
        user_id=found.user_id,
        name=found.name,
        policy=found.policy,
        max_server_per_host=found.max_server_per_host,
        members=members,
        created_at=timestamp(found.created_at),
    )


def add(connection: Connection, group: ServerGroup, at: datetime) -> ServerGroup:
    """Make an empty group with an id of its own."""
    group_id = str(uuid.uuid4())
    connection.execute(
        insert(server_groups),
        {
            "id": group_id,
            "generation": 1,
            "project_id": group.project_id,
            "user_id": group.user_id,
            "name": group.name,
            "policy": group.policy,
            "max_server_per_host": group.max_server_per_host,
            "created_at": at,
        },
    )
    return get(connection, group_id)


def get(connection: Connection, group_id: str) -> ServerGroup:
    """One group with its members.

    Raises NotFoundError.
    """
    found = connection.execute(_BY_ID, {"group": group_id}).first()
    if found is None:
        raise missing(group_id)
    return message(found, _members(connection, [group_id]).get(group_id, ()))


def lock(connection: Connection, group_id: str) -> ServerGroup:
    """One group without its members, which nobody else adds to or places until this transaction ends.

    Raises NotFoundError.
    """
    found = connection.execute(_BY_ID.with_for_update(), {"group": group_id}).first()
    if found is None:
        raise missing(group_id)
    return message(found, ())


def missing(group_id: str) -> NotFoundError:
    """The failure of whoever names a group that isn't there."""
    return NotFoundError("server_group", group_id, f"Instance group {group_id} could not be found.")


def page(connection: Connection, project_id: str, limit: int, offset: int) -> list[ServerGroup]:
    """Groups of a project, or of all with an empty one, the oldest first."""
    wanted = _ROW.order_by(_g.number).limit(min(limit or PAGE, PAGE)).offset(offset)
    if project_id:
        wanted = wanted.where(_g.project_id == project_id)
    rows = connection.execute(wanted).all()
    members = _members(connection, [found.id for found in rows])
    return [message(found, members.get(found.id, ())) for found in rows]


def _members(connection: Connection, group_ids: Sequence[str]) -> dict[str, list[str]]:
    if not group_ids:
        return {}
    rows = connection.execute(
        select(_m.group_id, _m.instance_id)
        .join(instances, instances.c.id == _m.instance_id)
        .where(_m.group_id.in_(group_ids), instances.c.deleted_at.is_(None))
        .order_by(instances.c.number)
    )
    members: dict[str, list[str]] = {}
    for group_id, instance_id in rows:
        members.setdefault(group_id, []).append(instance_id)
    return members


def remove(connection: Connection, group_id: str) -> None:
    """Remove a group; its members are then in none.

    Raises NotFoundError.
    """
    if connection.execute(delete(server_groups).where(_g.id == group_id)).rowcount == 0:
        raise missing(group_id)


def count(connection: Connection, project_id: str, user_id: str = "") -> int:
    """How many groups a project has, or one user in it."""
    wanted = select(func.count()).select_from(server_groups).where(_g.project_id == project_id)
    if user_id:
        wanted = wanted.where(_g.user_id == user_id)
    return connection.execute(wanted).scalar_one()


def count_members(connection: Connection, group_id: str, user_id: str) -> int:
    """How many instances one user has in a group: Nova's quota counts them by user."""
    return connection.execute(
        select(func.count())
        .select_from(server_group_members.join(instances, instances.c.id == _m.instance_id))
        .where(_m.group_id == group_id, instances.c.user_id == user_id, instances.c.deleted_at.is_(None))
    ).scalar_one()


def join(connection: Connection, group_id: str, instance_ids: Iterable[str]) -> None:
    """Put new instances into a group that `lock` gave."""
    connection.execute(
        insert(server_group_members), [{"instance_id": one, "group_id": group_id} for one in instance_ids]
    )


def leave(connection: Connection, instance: Instance) -> None:
    """The instance is gone; nothing for one that is in no group."""
    if HINT in instance.scheduler_hints:
        connection.execute(delete(server_group_members).where(_m.instance_id == instance.id))


def attach(connection: Connection, instance: Instance) -> Instance:
    """Give the instance the id of its group, and return it."""
    if HINT in instance.scheduler_hints:
        instance.server_group_id = connection.execute(_OF_INSTANCE, {"instance": instance.id}).scalar() or ""
    return instance


def places(connection: Connection, instance_ids: Sequence[str]) -> dict[str, Places]:
    """Where the other members of these instances' groups are, by instance; one in no group is left out.

    The instances themselves count nowhere: they are about to be placed.
    """
    return _places(connection, _groups_of(connection, instance_ids), instance_ids)


def lock_places(connection: Connection, instance_ids: Sequence[str]) -> dict[str, Places]:
    """The same for groups with hard policies, which nobody else places members of until this transaction
    ends. Members of one group share one Places, so whoever puts one on a host counts it there."""
    groups = {one: row for one, row in _groups_of(connection, instance_ids).items() if row.policy in HARD}
    if groups:
        ids = {row.id for row in groups.values()}
        # In one order, so that two who lock several don't deadlock.
        connection.execute(select(_g.id).where(_g.id.in_(ids)).order_by(_g.number).with_for_update()).all()
    return _places(connection, groups, instance_ids)


def _groups_of(connection: Connection, instance_ids: Sequence[str]) -> dict[str, _Membership]:
    if not instance_ids:
        return {}
    rows = connection.execute(
        select(_m.instance_id, _g.id, _g.policy, _g.max_server_per_host)
        .join(server_groups, _g.id == _m.group_id)
        .where(_m.instance_id.in_(instance_ids))
    )
    return {found.instance_id: found for found in rows}


def _places(
    connection: Connection, groups: dict[str, _Membership], instance_ids: Sequence[str]
) -> dict[str, Places]:
    if not groups:
        return {}
    by_group = {row.id: Places(row.id, row.policy, row.max_server_per_host or 1) for row in groups.values()}
    rows = connection.execute(
        select(_m.group_id, instances.c.host)
        .join(instances, instances.c.id == _m.instance_id)
        .where(
            _m.group_id.in_(list(by_group)),
            _m.instance_id.not_in(instance_ids),
            instances.c.host != "",
            instances.c.deleted_at.is_(None),
        )
    )
    for group_id, host in rows:
        by_group[group_id].hosts[host] += 1
    return {one: by_group[row.id] for one, row in groups.items()}
