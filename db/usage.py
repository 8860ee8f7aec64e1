"""What instances used: a period for each time in which an instance had one flavor.

Whoever launches an instance, changes its flavor or ends it says so here, in the transaction that writes that
down, with the instance's row locked. Shelving and stopping change nothing: what is shelved is still counted,
as Nova counts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Row,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from db.schema.base import microseconds
from db.schema.compute import instances
from db.schema.usage import usage_periods
from novamesh.conductor.v1.usage_service_pb2 import InstanceUsage, ProjectUsage
from novamesh.failures import NotFoundError
from novamesh.types.v1.instance_pb2 import Instance

# Moments are kept in microseconds.
SECOND = 1_000_000
_p = usage_periods.c
_i = instances.c
_OPEN = select(_p.number).where(_p.instance_id == bindparam("instance"), _p.ended.is_(None))
_CLOSE = (
    update(usage_periods)
    .where(_p.instance_id == bindparam("instance"), _p.ended.is_(None))
    .values(ended=bindparam("at"))
)


def begin(connection: Connection, instance: Instance, at: datetime) -> None:
    """The guest ran for the first time at `at`. Nothing for one that is counted already: who is launched
    again (rebuilt, unshelved) goes on."""
    if connection.execute(_OPEN, {"instance": instance.id}).first() is None:
        connection.execute(insert(usage_periods), _row(instance, at))


def change_flavor(connection: Connection, instance: Instance, at: datetime) -> None:
    """`instance`, whose flavor is the new one already, has had it since `at`; nothing for one that isn't
    counted."""
    if connection.execute(_CLOSE, {"instance": instance.id, "at": microseconds(at)}).rowcount:
        connection.execute(insert(usage_periods), _row(instance, at))


def end(connection: Connection, instance: Instance, at: datetime) -> None:
    """The instance is gone since `at`; nothing for one that isn't counted."""
    connection.execute(_CLOSE, {"instance": instance.id, "at": microseconds(at)})


def _row(instance: Instance, at: datetime) -> dict[str, Any]:
    flavor = instance.flavor
    return {
        "instance_id": instance.id,
        "project_id": instance.project_id,
        "flavor_name": flavor.name,
        "vcpus": flavor.vcpus,
        "memory_mb": flavor.memory_mb,
        "local_gb": flavor.root_gb + flavor.ephemeral_gb,
        "began": microseconds(at),
        "ended": None,
    }


@dataclass(frozen=True)
class Window:
    """Between two moments, of one project or of all with an empty one."""

    start: datetime
    end: datetime
    project_id: str = ""

    @property
    def bounds(self) -> tuple[int, int]:
        """Both moments in microseconds."""
        return microseconds(self.start), microseconds(self.end)

    def conditions(self) -> list[ColumnElement[bool]]:
        """Which periods lie in it, at least in part."""
        start, end = self.bounds
        chosen = [_p.began < end, or_(_p.ended.is_(None), _p.ended > start)]
        if self.project_id:
            chosen.append(_p.project_id == self.project_id)
        return chosen


@dataclass(frozen=True)
class Page:
    """Over at most `size` instances (0 for all), after the one called `marker`."""

    size: int = 0
    marker: str = ""


def totals(connection: Connection, window: Window) -> tuple[list[ProjectUsage], int]:
    """What each project used, summed by the database, and how many instances were counted."""
    start, end = window.bounds
    began = case((_p.began > start, _p.began), else_=start)
    ended = case((_p.ended < end, _p.ended), else_=end)
    seconds = (ended - began) * literal(1e-6, Double)
    rows = connection.execute(
        select(
            _p.project_id,
            func.sum(seconds),
            func.sum(seconds * _p.vcpus),
            func.sum(seconds * _p.memory_mb),
            func.sum(seconds * _p.local_gb),
            func.count(_p.instance_id.distinct()),
        )
        .where(*window.conditions())
        .group_by(_p.project_id)
        .order_by(_p.project_id)
    ).all()
    usages = [
        ProjectUsage(
            project_id=row[0],
            seconds=row[1],
            vcpu_seconds=row[2],
            memory_mb_seconds=row[3],
            local_gb_seconds=row[4],
        )
        for row in rows
    ]
    return usages, sum(row[5] for row in rows)


def by_instance(connection: Connection, window: Window, page: Page) -> list[ProjectUsage]:
    """What each instance of a page used, by project and id; all their periods come in one statement.

    Raises NotFoundError (marker).
    """
    chosen = (
        select(_p.project_id, _p.instance_id)
        .where(*window.conditions())
        .group_by(_p.project_id, _p.instance_id)
        .order_by(_p.project_id, _p.instance_id)
    )
    if page.marker:
        last = connection.execute(select(_i.project_id, _i.id).where(_i.id == page.marker)).first()
        if last is None:
            raise NotFoundError("marker", page.marker, f"Marker {page.marker} could not be found.")
        chosen = chosen.where(
            or_(
                _p.project_id > last.project_id,
                and_(_p.project_id == last.project_id, _p.instance_id > last.id),
            )
        )
    if page.size:
        chosen = chosen.limit(page.size)
    them = chosen.subquery()
    rows = connection.execute(
        select(usage_periods, _i.display_name, _i.vm_state)
        .join(them, them.c.instance_id == _p.instance_id)
        .join(instances, _i.id == _p.instance_id)
        .order_by(_p.project_id, _p.instance_id, _p.number)
    )
    usages: list[ProjectUsage] = []
    for project_id, of_project in groupby(rows, lambda row: row.project_id):
        usage = ProjectUsage(project_id=project_id)
        for _, periods in groupby(of_project, lambda row: row.instance_id):
            _add(usage, list(periods), window.bounds)
        usages.append(usage)
    return usages


def _add(usage: ProjectUsage, periods: Sequence[Row[Any]], bounds: tuple[int, int]) -> None:
    start, end = bounds
    whole = 0
    for period in periods:
        until = end if period.ended is None else min(period.ended, end)
        inside = max(0, until - max(period.began, start))
        whole += inside
        usage.vcpu_seconds += inside * period.vcpus / SECOND
        usage.memory_mb_seconds += inside * period.memory_mb / SECOND
        usage.local_gb_seconds += inside * period.local_gb / SECOND
    usage.seconds += whole / SECOND
    first, last = periods[0], periods[-1]
    shown = InstanceUsage(
        instance_id=last.instance_id,
        name=last.display_name,
        vm_state=last.vm_state,
        flavor_name=last.flavor_name,
        vcpus=last.vcpus,
        memory_mb=last.memory_mb,
        local_gb=last.local_gb,
        seconds=whole / SECOND,
        started_at=Timestamp(seconds=first.began // SECOND, nanos=first.began % SECOND * 1000),
    )
    if last.ended is not None:
        shown.ended_at.CopyFrom(Timestamp(seconds=last.ended // SECOND, nanos=last.ended % SECOND * 1000))
    usage.instances.append(shown)
