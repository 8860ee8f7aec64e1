"""Periods of use, summed alike by all databases, and the periods of the audit."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from db import hosts, instances, usage, usage_audits
from db.database import Connection, Database
from db.schema.base import now, timestamp
from db.schema.usage import usage_audits as usage_audit_rows
from db.usage import Page, Window
from db.usage_audits import Period
from novamesh.conductor.v1.host_service_pb2 import RegisterHostRequest
from novamesh.conductor.v1.usage_service_pb2 import UsageAudit
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import states
from services.conductor.audit_periods import last_period, parse_period
from services.conductor.usage_audit import PATIENCE, UsageAuditor
from tests.unit.conductor.fakes import database_at

T = datetime(2026, 1, 1)
HOUR = timedelta(hours=1)
SMALL = Flavor(id="1", name="small", vcpus=1, memory_mb=512, root_gb=1)
# More than 63 bits hold when microseconds are multiplied with memory.
LARGE = Flavor(id="2", name="large", vcpus=64, memory_mb=4_000_000, root_gb=100, ephemeral_gb=20)


def accept(connection: Connection, project: str, number: int) -> Instance:
    """An instance on host h1."""
    return instances.add(
        connection,
        Instance(
            id=f"{project}-{number}",
            project_id=project,
            display_name=f"vm{number}",
            vm_state=states.ACTIVE,
            host="h1",
            flavor=SMALL,
            created_at=timestamp(T),
            updated_at=timestamp(T),
        ),
    )


async def furnish(database: Database) -> None:
    """a-1: small from 0:00, large from 1:00, ends at 3:00. a-2: small from 2:00. b-1: large for a year."""

    def work(connection: Connection) -> None:
        first, second, third = (accept(connection, *one) for one in (("a", 1), ("a", 2), ("b", 1)))
        usage.begin(connection, first, T)
        # A rebuild launches it again.
        usage.begin(connection, first, T + HOUR / 2)
        first.flavor.CopyFrom(LARGE)
        usage.change_flavor(connection, first, T + HOUR)
        usage.end(connection, first, T + 3 * HOUR)
        usage.end(connection, first, T + 4 * HOUR)
        usage.begin(connection, second, T + 2 * HOUR)
        third.flavor.CopyFrom(LARGE)
        usage.begin(connection, third, T)
        usage.end(connection, third, T + timedelta(days=365))
        # Never launched.
        never = accept(connection, "a", 9)
        usage.change_flavor(connection, never, T)
        usage.end(connection, never, T)

    await database.write(work)


async def test_sums_are_exact(url: str) -> None:
    async with database_at(url) as database:
        await furnish(database)
        window = Window(T + HOUR / 2, T + 5 * HOUR, "a")
        (found,), count = await database.read(lambda c: usage.totals(c, window))
        (detailed,) = await database.read(lambda c: usage.by_instance(c, window, Page()))
        assert count == 2
        for one in (found, detailed):
            # a-1: half an hour small, two hours large. a-2: three hours small.
            assert one.seconds == pytest.approx(5.5 * 3600, abs=1e-6)
            assert one.vcpu_seconds == pytest.approx(3600 * (0.5 + 2 * 64 + 3), abs=1e-6)
            assert one.memory_mb_seconds == pytest.approx(3600 * (3.5 * 512 + 2 * 4_000_000), rel=1e-12)
            assert one.local_gb_seconds == pytest.approx(3600 * (3.5 + 2 * 120), abs=1e-6)
        first, second = detailed.instances
        assert (first.seconds, second.seconds) == (2.5 * 3600, 3 * 3600)
        assert (first.flavor_name, first.vcpus, first.local_gb) == ("large", 64, 120)
        assert first.started_at.ToDatetime() == T
        assert first.ended_at.ToDatetime() == T + 3 * HOUR
        assert not second.HasField("ended_at")


async def test_a_year_of_a_large_one_is_not_too_much(url: str) -> None:
    async with database_at(url) as database:
        await furnish(database)
        whole = Window(T, T + timedelta(days=500))
        usages, count = await database.read(lambda c: usage.totals(c, whole))
        assert ([one.project_id for one in usages], count) == (["a", "b"], 3)
        assert usages[1].memory_mb_seconds == pytest.approx(365 * 86400 * 4_000_000, rel=1e-12)
        after = Window(T + timedelta(days=365), T + timedelta(days=366), "b")
        assert await database.read(lambda c: usage.totals(c, after)) == ([], 0)


async def test_pages_of_instances(url: str) -> None:
    async with database_at(url) as database:
        await furnish(database)
        window, seen, marker = Window(T, T + 5 * HOUR), [], ""
        while True:
            found = await database.read(lambda c: usage.by_instance(c, window, Page(2, marker)))  # noqa: B023
            if not found:
                break
            seen.append([one.instance_id for project in found for one in project.instances])
            marker = seen[-1][-1]
        assert seen == [["a-1", "a-2"], ["b-1"]]
        with pytest.raises(NotFoundError):
            await database.read(lambda c: usage.by_instance(c, window, Page(2, "nobody")))


async def test_each_host_is_audited_once(url: str) -> None:
    async with database_at(url) as database:
        await furnish(database)
        period = Period(T, T + HOUR)
        assert await database.write(lambda c: usage_audits.begin(c, "h1", period, T, T - HOUR))
        assert not await database.write(lambda c: usage_audits.begin(c, "h1", period, T, T - HOUR))
        found = await database.read(lambda c: usage_audits.instances_of(c, "h1", period, 0, 10))
        assert [one.id for one in found] == ["a-1", "b-1"]
        done = UsageAudit(host="h1", instances=2, message="done")
        await database.write(lambda c: usage_audits.finish(c, period, done))
        (run,) = await database.read(lambda c: usage_audits.runs(c, period))
        assert (run.state, run.instances) == ("DONE", 2)
        # What is done stays done.
        assert not await database.write(lambda c: usage_audits.begin(c, "h1", period, T, T + HOUR))


async def test_an_audit_whose_conductor_died_is_taken_over_once(url: str) -> None:
    async with database_at(url) as database:
        period = last_period("year", now())
        await database.write(lambda c: hosts.register(c, RegisterHostRequest(name="h1"), "nova", now()))
        began = now() - PATIENCE + timedelta(minutes=1)
        assert await database.write(lambda c: usage_audits.begin(c, "h1", period, began, began))
        auditor = UsageAuditor(database, "year")
        await auditor.run()
        (run,) = await database.read(lambda c: usage_audits.runs(c, period))
        assert run.state == "RUNNING"

        def age(connection: Connection) -> None:
            connection.execute(update(usage_audit_rows).values(started_at=now() - PATIENCE - HOUR))

        await database.write(age)
        stale = now() - PATIENCE
        assert await database.read(lambda c: usage_audits.missing(c, period, stale)) == ["h1"]
        assert await database.write(lambda c: usage_audits.begin(c, "h1", period, now(), stale))
        assert not await database.write(lambda c: usage_audits.begin(c, "h1", period, now(), stale))
        await database.write(age)
        await auditor.run()
        (run,) = await database.read(lambda c: usage_audits.runs(c, period))
        assert (run.state, run.instances) == ("DONE", 0)


@pytest.mark.parametrize(
    ("text", "before", "beginning", "ending"),
    [
        ("month", "2026-03-05 10:00:00", "2026-02-01 00:00:00", "2026-03-01 00:00:00"),
        ("month", "2026-01-01 00:00:00", "2025-11-01 00:00:00", "2025-12-01 00:00:00"),
        ("month@28", "2026-03-05 10:00:00", "2026-01-28 00:00:00", "2026-02-28 00:00:00"),
        ("month@0", "2026-03-31 10:00:00", "2026-02-01 00:00:00", "2026-03-01 00:00:00"),
        ("day", "2026-03-01 10:00:00", "2026-02-28 00:00:00", "2026-03-01 00:00:00"),
        ("day@6", "2026-03-01 05:00:00", "2026-02-27 06:00:00", "2026-02-28 06:00:00"),
        ("hour", "2026-03-01 00:30:00", "2026-02-28 23:00:00", "2026-03-01 00:00:00"),
        ("hour@45", "2026-03-01 00:30:00", "2026-02-28 22:45:00", "2026-02-28 23:45:00"),
        ("year", "2026-03-01 00:30:00", "2025-01-01 00:00:00", "2026-01-01 00:00:00"),
        ("year@4", "2026-03-01 00:30:00", "2024-04-01 00:00:00", "2025-04-01 00:00:00"),
    ],
)
def test_the_last_period(text: str, before: str, beginning: str, ending: str) -> None:
    found = last_period(text, datetime.fromisoformat(before))
    assert (str(found.beginning), str(found.ending)) == (beginning, ending)


@pytest.mark.parametrize("text", ["", "week", "day@24", "month@29", "hour@x", "hour@", "year@13", "day@-1"])
def test_periods_that_there_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="instance_usage_audit_period"):
        parse_period(text)


def test_there_is_nothing_before_the_beginning() -> None:
    for text in ("hour", "day", "month", "year"):
        with pytest.raises(InvalidArgumentError):
            last_period(text, datetime.min)
