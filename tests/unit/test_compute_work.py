"""Operations by id: joined, remembered, in order, and overtaken by a delete."""

import asyncio

import pytest

from novamesh.failures import NotFoundError, UnavailableError
from services.compute.work import WorkKey, WorkTable


class Job:
    """Work that waits until it is let go."""

    def __init__(self, result: str = "done") -> None:
        self.result = result
        self.runs = 0
        self.go = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> str:
        self.runs += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return self.result


async def test_a_second_call_joins_and_a_third_gets_the_answer_again() -> None:
    table, job, key = WorkTable(), Job(), WorkKey("Build", "op")
    calls = [asyncio.create_task(table.run("i", key, job)) for _ in range(2)]
    await asyncio.sleep(0)
    assert table.busy("i")
    job.go.set()
    assert await asyncio.gather(*calls) == ["done", "done"]
    assert await table.run("i", key, job) == "done"
    assert job.runs == 1
    assert not table.busy("i")


async def test_a_caller_that_goes_away_stops_nothing() -> None:
    table, job, key = WorkTable(), Job(), WorkKey("Build", "op")
    call = asyncio.create_task(table.run("i", key, job))
    await asyncio.sleep(0.001)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert table.busy("i")
    job.go.set()
    assert await table.run("i", key, job) == "done"
    assert (job.runs, job.cancelled) == (1, False)


async def test_a_failure_is_not_remembered() -> None:
    table, attempts = WorkTable(), iter([UnavailableError("libvirt", "away"), None])

    async def work() -> str:
        failure = next(attempts)
        if failure:
            raise failure
        return "done"

    with pytest.raises(UnavailableError):
        await table.run("i", WorkKey("Build", "op"), work)
    assert await table.run("i", WorkKey("Build", "op"), work) == "done"


async def test_work_on_one_instance_is_done_in_order_and_on_others_at_once() -> None:
    table, first, second, other = WorkTable(), Job(), Job(), Job("other")
    one = asyncio.create_task(table.run("i", WorkKey("Stop", "1"), first))
    two = asyncio.create_task(table.run("i", WorkKey("Start", "2"), second))
    other.go.set()
    assert await table.run("j", WorkKey("Stop", "3"), other) == "other"
    assert (first.runs, second.runs) == (1, 0)
    first.go.set()
    second.go.set()
    assert list(await asyncio.gather(one, two)) == ["done", "done"]


async def test_a_delete_stops_what_is_under_way_and_forgets_what_was_done() -> None:
    table, build, stop, delete = WorkTable(), Job(), Job(), Job("deleted")
    building = asyncio.create_task(table.run("i", WorkKey("Build", "1"), build))
    stopping = asyncio.create_task(table.run("i", WorkKey("Stop", "2"), stop))
    await asyncio.sleep(0.001)
    delete.go.set()
    assert await table.run_last("i", WorkKey("Delete", "3"), delete) == "deleted"
    for task in (building, stopping):
        with pytest.raises(NotFoundError, match="is being deleted"):
            await task
    assert (build.cancelled, stop.runs) == (True, 0)
    # A build may come again after the clean-up of its first attempt.
    again = Job("again")
    again.go.set()
    assert await table.run("i", WorkKey("Build", "1"), again) == "again"
    # And may have to be cleaned up once more, for the same operation.
    await table.run_last("i", WorkKey("Delete", "3"), delete)
    assert delete.runs == 2


async def test_nothing_but_a_delete_touches_an_instance_that_is_gone() -> None:
    table, job = WorkTable(), Job()
    job.go.set()
    table.close("i")
    with pytest.raises(NotFoundError):
        await table.run("i", WorkKey("Build", "1"), job)
    assert await table.run_last("i", WorkKey("Delete", "2"), job) == "done"


async def test_memory_ends() -> None:
    table, job = WorkTable(memory=0.0), Job()
    job.go.set()
    await table.run("i", WorkKey("Stop", "1"), job)
    table.close("j")
    await table.run("i", WorkKey("Stop", "1"), job)
    assert job.runs == 2
    assert not table.closed("j")


async def test_work_without_an_operation_is_joined_but_not_remembered() -> None:
    table, job = WorkTable(), Job()
    job.go.set()
    await table.run("i", WorkKey("reap"), job)
    await table.run("i", WorkKey("reap"), job)
    assert job.runs == 2


async def test_stopping_ends_all_work() -> None:
    table, job = WorkTable(), Job()
    call = asyncio.create_task(table.run("i", WorkKey("Build", "1"), job))
    await asyncio.sleep(0.001)
    await table.stop()
    with pytest.raises(UnavailableError):
        await call
    assert job.cancelled


async def test_a_role_that_stops_says_that_it_is_away_and_not_that_the_instance_is_deleted() -> None:
    """Taken for a delete, a boot under way would be given up for good."""
    table, job = WorkTable(), Job()
    call = asyncio.create_task(table.run("i", WorkKey("Build", "op"), job))
    await asyncio.sleep(0.001)
    await table.stop()
    with pytest.raises(UnavailableError):
        await call
    with pytest.raises(UnavailableError):
        await table.run("i", WorkKey("Build", "op"), job)
    with pytest.raises(UnavailableError):
        await table.run_last("i", WorkKey("Delete", "op2"), job)
