"""What the fake driver has beyond the conformance suite: faults, delays, a journal, room for thousands."""

import asyncio
import uuid
from pathlib import Path

import pytest

from drivers.virt import Boot, PowerChange
from drivers.virt.fake import FakeDriver, FakeOptions
from drivers.virt.fake.journal import Journal
from novamesh.failures import DriverFailureError, UnavailableError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, POWER_STATE_SHUTDOWN, Instance


def instance(**fields: object) -> Instance:
    return Instance(id=str(uuid.uuid4()), **fields)  # type: ignore[arg-type]


async def test_fails_as_often_as_asked() -> None:
    driver = FakeDriver()
    driver.hypervisor.fail("spawn", UnavailableError("libvirt", "away"), times=2)
    guest = instance()
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await driver.spawn(guest, Boot())
    await driver.spawn(guest, Boot())


async def test_fails_for_one_instance() -> None:
    driver = FakeDriver()
    unlucky, lucky = instance(), instance()
    driver.hypervisor.fail("spawn", DriverFailureError("fake", "spawn", "no"), instance_id=unlucky.id)
    await driver.spawn(lucky, Boot())
    with pytest.raises(DriverFailureError):
        await driver.spawn(unlucky, Boot())


async def test_fails_when_the_metadata_asks() -> None:
    driver = FakeDriver()
    guest = instance(metadata={"novamesh:fake_fail": "pause,destroy"})
    await driver.spawn(guest, Boot())
    with pytest.raises(DriverFailureError):
        await driver.pause(guest)
    assert await driver.power_state(guest.id) == POWER_STATE_RUNNING


async def test_takes_its_time() -> None:
    driver = FakeDriver(FakeOptions(delays={"spawn": 3600.0}))
    spawn = asyncio.create_task(driver.spawn(instance(), Boot()))
    await asyncio.sleep(0)
    assert not spawn.done()
    spawn.cancel()
    assert await driver.instances() == []


async def test_tells_of_every_change() -> None:
    driver = FakeDriver()
    changes: list[PowerChange] = []
    unsubscribe = driver.watch(changes.append)
    guest = instance()
    await driver.spawn(guest, Boot())
    await driver.power_off(guest)
    unsubscribe()
    await driver.power_on(guest)
    assert changes == [
        PowerChange(guest.id, POWER_STATE_RUNNING),
        PowerChange(guest.id, POWER_STATE_SHUTDOWN),
    ]


async def test_journal_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "guests.jsonl"
    driver = FakeDriver(FakeOptions(journal=str(path)))
    await driver.start()
    kept, gone = instance(), instance()
    await driver.spawn(kept, Boot())
    await driver.spawn(gone, Boot())
    await driver.destroy(gone)
    # As a process leaves it that is killed while it writes.
    with path.open("ab") as file:
        file.write(b'{"id": "torn')
    assert Journal.read(path) == {kept.id: POWER_STATE_RUNNING}
    again = FakeDriver(FakeOptions(journal=str(path)))
    await again.start()
    assert await again.instances() == [(kept.id, POWER_STATE_RUNNING)]
    assert len(path.read_bytes().splitlines()) == 1
    await again.stop()
    await driver.stop()


async def test_thousands(tmp_path: Path) -> None:
    driver = FakeDriver(FakeOptions(journal=str(tmp_path / "guests.jsonl")))
    await driver.start()
    guests = [instance() for _ in range(3000)]
    await asyncio.gather(*(driver.spawn(guest, Boot()) for guest in guests))
    assert len(await driver.instances()) == 3000
    await asyncio.gather(*(driver.destroy(guest) for guest in guests))
    assert await driver.instances() == []
    await driver.stop()
