"""A control plane that was away for longer than a host may be silent: nobody's host is dead for that."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.books import balanced, empty
from tests.faults.processes import Processes, Sections, processes
from tests.faults.rest import logged_in, until

pytestmark = pytest.mark.fault

SILENCE = 5.0
# A host that reports seldom, so that the conductor is back for a while before it hears of it; and that
# doesn't look of its own accord for guests that it shouldn't have.
CALM: Sections = {
    "conductor": {"service_down_time": SILENCE},
    "compute": {"report_interval": 4.0, "sync_power_state_interval": 600.0},
}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Processes]:
    """A cloud that gives up on silent hosts soon."""
    with processes(tmp_path / "cloud", CALM) as cloud:
        yield cloud


async def test_conductor_was_away_for_long(cloud: Processes) -> None:
    """What is asked just after it is back: hosts are as they were until there was time to hear from them."""
    async with logged_in(cloud) as rest:
        assert (await rest.create("old", min_count=6, max_count=6)).status == 202
        old = (await balanced(cloud)).active()
        assert len(old) == 6
        cloud.kill("conductor")
        # Nobody can report a thing.
        await asyncio.sleep(SILENCE + 1)
        await asyncio.to_thread(cloud.serve, "conductor")

        async def accepted() -> bool:
            return (await rest.create("new", min_count=3, max_count=3)).status == 202

        await until(accepted, "servers are accepted", pause=0.02)
        answers = await asyncio.gather(*(rest.ask("DELETE", f"/servers/{one}") for one in old))
        assert {answer.status for answer in answers} == {204}
        books = await balanced(cloud)
        assert not books.errors(), [one.fault.message for one in books.errors()]
        assert len(books.active()) == 3
        await rest.delete_all()
        await empty(cloud)
