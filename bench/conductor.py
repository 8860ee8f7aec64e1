"""What the conductor costs: bare commits, boots and deletes with its neighbours faked, reads and lists.

    python -m bench.conductor [--database sqlite|postgresql|mysql|URL] [--count 200] [--profile FILE]

Everything runs in this process, in memory but for the database, so what is measured is the conductor and its
database. Rates are also given as fractions of the bare commits of the same run.
"""

import argparse
import asyncio
import cProfile
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
import uvloop

from bench.bare import print_bare
from db.database import Database, DatabaseOptions
from db.schema.base import now
from db.schema.compute import nodes
from novamesh.conductor.v1.instance_service_pb2 import GetInstanceRequest, ListInstancesRequest
from novamesh.types.v1.instance_pb2 import TaskState, VmState
from tests.unit.conductor.conftest import drop, make_url
from tests.unit.conductor.fakes import Cloud, cloud_at, database_at

ROOM = {"vcpus": 100_000, "memory_mb": 100_000_000, "disk_gb": 1_000_000}


async def timed(work: Awaitable[object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def row() -> dict[str, object]:
    """Something small to insert."""
    return {
        "id": str(uuid.uuid4()),
        "role": "bench",
        "host": uuid.uuid4().hex,
        "address": "",
        "version": "",
        "reported_at": now(),
        "created_at": now(),
    }


async def commits(database: Database) -> tuple[float, float]:
    """Bare commits a second of one row: one writer, and 64."""
    insert = nodes.insert()

    async def one() -> None:
        await database.write(lambda c: c.execute(insert, row()))

    async def several(count: int) -> None:
        for _ in range(count):
            await one()

    alone = 200 / await timed(several(200))
    together = 64 * 30 / await timed(asyncio.gather(*(several(30) for _ in range(64))))
    return alone, together


async def settle_all(cloud: Cloud, ids: list[str], wanted: int) -> None:
    """Wait until all are in that state."""
    waiting = set(ids)
    while waiting:
        page = await cloud.instances.ListInstances(ListInstancesRequest(brief=True))
        if wanted == VmState.VM_STATE_DELETED:
            waiting &= {one.id for one in page.instances}
        else:
            waiting -= {
                one.id
                for one in page.instances
                if one.vm_state == wanted and one.task_state == TaskState.TASK_STATE_UNSPECIFIED
            }
        await asyncio.sleep(0.01)


async def each(count: int, call: Callable[[], Awaitable[object]]) -> float:
    """Mean microseconds of a call."""
    return await timed(_repeat(count, call)) / count * 1e6


async def _repeat(count: int, call: Callable[[], Awaitable[object]]) -> None:
    for _ in range(count):
        await call()


async def main(options: argparse.Namespace) -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    await print_bare()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        named = options.database in ("sqlite", "postgresql", "mysql")
        url = make_url(options.database, Path(folder)) if named else options.database
        try:
            await measure(url, options)
        finally:
            if named:
                drop(url)


async def measure(url: str, options: argparse.Namespace) -> None:
    """All figures for one database."""
    durable = DatabaseOptions()
    async with database_at(url, durable) as database:
        alone, together = await commits(database)
    print(f"database                      {url.split(':', 1)[0]}, synchronous={durable.synchronous}")
    print(f"bare commits, one writer      {alone:10.0f} /s")
    print(f"bare commits, 64 writers      {together:10.0f} /s")
    count = options.count
    async with cloud_at(url, cidr="10.0.0.0/16", durable=durable, inventory=ROOM) as cloud:
        began = time.perf_counter()
        [first] = await cloud.active()
        boot = time.perf_counter() - began
        print(f"one boot, POST to ACTIVE      {boot * 1000:10.1f} ms (polled every 5 ms)")
        profile = cProfile.Profile() if options.profile else None
        began = time.perf_counter()
        if profile:
            profile.enable()
        made = await asyncio.gather(*(cloud.create() for _ in range(count)))
        accepted = time.perf_counter() - began
        ids = [one.id for batch in made for one in batch]
        await settle_all(cloud, ids, VmState.VM_STATE_ACTIVE)
        active = time.perf_counter() - began
        if profile:
            profile.disable()
            profile.dump_stats(options.profile)
        print(f"{count} creates accepted          {count / accepted:10.0f} /s")
        rate = count / active
        print(f"{count} creates ACTIVE            {rate:10.0f} /s   {rate / together:.2f} of bare commits")
        print(f"proposals asked for           {len(cloud.scheduler.requests):10d}")
        get = await each(2000, lambda: cloud.instances.GetInstance(GetInstanceRequest(id=first.id)))
        print(f"GetInstance                   {get:10.0f} us")
        more = 1000 - count - 1
        if more > 0:
            await settle_all(cloud, [one.id for one in await cloud.create(more)], VmState.VM_STATE_ACTIVE)
        listed = await each(20, lambda: cloud.instances.ListInstances(ListInstancesRequest()))
        brief = await each(20, lambda: cloud.instances.ListInstances(ListInstancesRequest(brief=True)))
        print(f"ListInstances, 1,000          {listed / 1000:10.1f} ms, brief {brief / 1000:.1f} ms")
        began = time.perf_counter()
        await asyncio.gather(*(cloud.delete(one) for one in ids))
        await settle_all(cloud, ids, VmState.VM_STATE_DELETED)
        rate = count / (time.perf_counter() - began)
        print(f"{count} deletes                   {rate:10.0f} /s   {rate / together:.2f} of bare commits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, mysql or a URL")
    parser.add_argument("--count", type=int, default=200, help="instances created at once")
    parser.add_argument("--folder", help="where SQLite's file is put")
    parser.add_argument("--profile", help="write a cProfile of the creates here")
    uvloop.run(main(parser.parse_args()))
