"""Certificates that end: those who run renew theirs in time, those who slept too long are told what to do."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.mesh import Certificate
from services.mesh.authority import Authority
from tests.faults.books import balanced, empty
from tests.faults.processes import KILLED, OTHERS, Processes, processes
from tests.faults.rest import logged_in, until

pytestmark = pytest.mark.fault

# Seconds; longer than the cloud takes to start on a busy machine.
LIFE = 20.0


def certificate(cloud: Processes, role: str) -> Certificate:
    return Certificate.read(cloud.state.certificates, role)


async def ended(moment: datetime) -> None:
    """Wait until a moment is past."""

    async def past() -> bool:
        return datetime.now(UTC) > moment

    await until(past, f"{moment} is past")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Processes]:
    """A cloud of short-lived certificates."""
    with processes(tmp_path / "cloud", {"cert": {"certificate_life": LIFE}}) as cloud:
        yield cloud


async def test_certificates_end_while_the_cloud_works(cloud: Processes) -> None:
    """Every certificate that the cloud began with ends; boots before, during and after don't notice."""
    last = max(certificate(cloud, role).not_after for role in (*KILLED, *OTHERS))
    async with logged_in(cloud) as rest:
        number = 0
        while datetime.now(UTC) <= last:
            number += 1
            assert (await rest.create(f"vm-{number}")).status == 202
            await asyncio.sleep(0.5)
        await ended(last)
        assert (await rest.create("after", min_count=5, max_count=5)).status == 202
        books = await balanced(cloud)
        assert len(books.active()) == number + 5
        for role in (*KILLED, *OTHERS):
            # The next ones are on disk, for the next start.
            assert certificate(cloud, role).not_after > last, role

        cloud.kill("compute")
        # As on a host that was off for longer than its certificate lived.
        authority = Authority.read(cloud.state.certificates)
        slept = authority.issue(certificate(cloud, "compute").peer, timedelta(seconds=-1))
        slept.write(cloud.state.certificates, "compute")
        cloud.launch("late", "serve", "compute")
        assert await asyncio.to_thread(cloud.running["late"].wait, 60) == 1
        said = cloud.said("late")
        assert "Traceback" not in said, said
        assert f"{cloud.state.certificates}/compute.pem" in said
        assert "ended" in said
        assert "novamesh ca create" in said
        assert "host join" in said
        # Nothing is lost by it, and the remedy is the one that it names.
        cloud.certify()
        await asyncio.to_thread(cloud.serve, "compute")
        await rest.delete_all()
        await empty(cloud)
