"""What the usage audit did: one row for each host and period."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from db.instances import parse
from db.schema.base import microseconds
from db.schema.compute import hosts, instances
from db.schema.usage import usage_audits, usage_periods
from novamesh.conductor.v1.usage_service_pb2 import UsageAudit
from novamesh.types.v1.instance_pb2 import Instance

RUNNING, DONE = "RUNNING", "DONE"
_a = usage_audits.c


@dataclass(frozen=True)
class Period:
    """What one audit is about: from `beginning` on, until before `ending`."""

    beginning: datetime
    ending: datetime


def runs(connection: Connection, period: Period) -> list[UsageAudit]:
    """What was done for a period, by host."""
    rows = connection.execute(
        select(usage_audits)
        .where(_a.period_beginning == period.beginning, _a.period_ending == period.ending)
        .order_by(_a.host)
    )
    return [
        UsageAudit(
            host=row.host,
            state=row.state,
            instances=row.instances,
            errors=row.errors,
            message=row.message,
        )
        for row in rows
    ]


def everywhere(connection: Connection) -> list[str]:
    """The names of all compute hosts."""
    return list(connection.execute(select(hosts.c.name).order_by(hosts.c.name)).scalars())


def missing(connection: Connection, period: Period, stale: datetime) -> list[str]:
    """The hosts that nobody has audited for a period, nor is auditing since `stale` or later."""
    begun = exists().where(
        _a.host == hosts.c.name,
        _a.period_beginning == period.beginning,
        _a.period_ending == period.ending,
        or_(_a.state != RUNNING, _a.started_at >= stale),
    )
    return list(connection.execute(select(hosts.c.name).where(~begun).order_by(hosts.c.name)).scalars())


def begin(connection: Connection, host: str, period: Period, at: datetime, stale: datetime) -> bool:
    """Write down that the audit of a host has begun, or that one that began before `stale`, and whose
    conductor is taken for dead, begins again. False when another conductor was faster."""
    taken_over = connection.execute(
        update(usage_audits)
        .where(
            _a.host == host,
            _a.period_beginning == period.beginning,
            _a.period_ending == period.ending,
            _a.state == RUNNING,
            _a.started_at < stale,
        )
        .values(started_at=at)
    )
    if taken_over.rowcount:
        return True
    try:
        with connection.begin_nested():
            connection.execute(
                insert(usage_audits),
                {
                    "host": host,
                    "period_beginning": period.beginning,
                    "period_ending": period.ending,
                    "state": RUNNING,
                    "instances": 0,
                    "errors": 0,
                    "message": "Instance usage audit is running.",
                    "started_at": at,
                },
            )
    except IntegrityError:
        return False
    return True


def finish(connection: Connection, period: Period, done: UsageAudit) -> None:
    """Write down how the audit of a host ended."""
    connection.execute(
        update(usage_audits)
        .where(
            _a.host == done.host,
            _a.period_beginning == period.beginning,
            _a.period_ending == period.ending,
        )
        .values(state=DONE, instances=done.instances, errors=done.errors, message=done.message)
    )


def instances_of(connection: Connection, host: str, period: Period, last: int, size: int) -> list[Instance]:
    """A page of the instances that existed on a host in a period, by number, after number `last`."""
    existed = exists().where(
        usage_periods.c.instance_id == instances.c.id,
        usage_periods.c.began < microseconds(period.ending),
        or_(usage_periods.c.ended.is_(None), usage_periods.c.ended > microseconds(period.beginning)),
    )
    rows = connection.execute(
        select(instances.c.number, instances.c.body)
        .where(instances.c.host == host, instances.c.number > last, existed)
        .order_by(instances.c.number)
        .limit(size)
    )
    return [parse(row.number, row.body) for row in rows]
