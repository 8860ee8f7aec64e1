"""What a compute host says of itself and of its guests, unasked."""

import asyncio

import pytest

from drivers.virt.fake.driver import FakeDriver
from drivers.virt.fake.hypervisor import FakeGuest
from drivers.virt.fake.options import FakeOptions
from drivers.virt.protocols import PowerChange
from novamesh.conductor.v1.instance_service_pb2 import ReportPowerStatesRequest, ReportPowerStatesResponse
from novamesh.failures import DriverFailureError, PermissionDeniedError, UnavailableError
from novamesh.types.v1.host_pb2 import HostInventory
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_RUNNING,
    POWER_STATE_SHUTDOWN,
    POWER_STATE_UNSPECIFIED,
    TASK_STATE_SPAWNING,
    VM_STATE_DELETED,
    VM_STATE_STOPPED,
    Instance,
)
from services.compute import ComputeOptions
from services.compute import power_states as compute_power_states
from services.compute import reconciliation as compute_reconciliation
from services.compute.options import RunningDeletedAction
from services.mesh import Call
from tests.compute_cloud import active, building, compute_cloud, until
from tests.conductor_double import ConductorDouble
from tests.unit.test_compute_lifecycle import build


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits that make no difference to what happens."""
    monkeypatch.setattr(compute_power_states, "GATHER", 0.01)
    monkeypatch.setattr(compute_power_states, "AGAIN", 0.02)
    monkeypatch.setattr(compute_reconciliation, "AGAIN", 0.02)


class GrowingDriver(FakeDriver):
    """A fake whose host gets more memory, and whose free disk changes all the time."""

    def __init__(self) -> None:
        super().__init__(FakeOptions())
        self.memory_mb = 1000
        self.free = 100

    async def inventory(self) -> HostInventory:
        self.free -= 1
        inventory = await super().inventory()
        inventory.memory_mb, inventory.disk_available_gb = self.memory_mb, self.free
        return inventory


async def test_registration_heartbeats_and_registration_anew() -> None:
    async with compute_cloud() as cloud:
        driver = GrowingDriver()
        options = ComputeOptions(
            sync_power_state_interval=0,
            my_ip="10.0.0.7",
            network_address="10.0.0.7:9",
            ram_allocation_ratio=1.2,
        )
        host = await cloud.host(driver=driver, options=options)
        registered = cloud.conductor.hosts["host1"]
        assert registered.address == f"10.0.0.7:{host.address.rpartition(':')[2]}"
        assert registered.network_address == "10.0.0.7:9"
        assert (registered.inventory.memory_mb, registered.ram_allocation_ratio) == (1000, 1.2)
        assert registered.reserved_host_memory_mb == 512

        await host.role.tracker.report()
        [report] = cloud.conductor.reports
        assert (report.disk_available_gb, report.unavailable_reason) == (driver.free, "")
        assert cloud.conductor.hosts["host1"] is registered

        driver.memory_mb = 2000
        await host.role.tracker.report()
        assert cloud.conductor.hosts["host1"].inventory.memory_mb == 2000

        del cloud.conductor.hosts["host1"]
        await host.role.tracker.report()
        assert "host1" in cloud.conductor.hosts


async def test_a_hypervisor_that_is_away_is_reported_with_the_heartbeat() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        host.driver.hypervisor.fail("inventory", UnavailableError("libvirt", "libvirtd does not answer"))
        await host.role.tracker.report()
        await host.role.tracker.report()
        reasons = [report.unavailable_reason for report in cloud.conductor.reports]
        assert reasons == ["libvirtd does not answer", ""]


async def test_a_host_starts_without_a_conductor_and_registers_when_there_is_one() -> None:
    async with compute_cloud() as cloud:
        cloud.conductor.away = True
        await cloud.host()
        assert not cloud.conductor.hosts
        cloud.conductor.away = False
        await until(lambda: "host1" in cloud.conductor.hosts)


async def test_a_start_without_a_hypervisor_says_so() -> None:
    class Broken(FakeDriver):
        async def start(self) -> None:
            raise UnavailableError("libvirt", "libvirtd is not running: start it")

    async with compute_cloud() as cloud:
        with pytest.raises(UnavailableError, match="libvirtd is not running"):
            await cloud.host(driver=Broken())


async def test_a_guest_that_ends_by_itself_is_reported() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        await host.lifecycle.BuildInstance(build("i1"))
        await host.lifecycle.BuildInstance(build("i2", "op2"))
        host.driver.hypervisor.enter("i1", POWER_STATE_SHUTDOWN)
        host.driver.hypervisor.drop("i2")
        await until(lambda: len(cloud.conductor.power_states) == 2)
        assert dict(cloud.conductor.power_states) == {
            "i1": POWER_STATE_SHUTDOWN,
            "i2": POWER_STATE_UNSPECIFIED,
        }


async def test_reports_wait_for_a_conductor_that_is_away() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        await host.lifecycle.BuildInstance(build("i1"))
        cloud.conductor.away = True
        host.driver.hypervisor.enter("i1", POWER_STATE_SHUTDOWN)
        await asyncio.sleep(0.05)
        cloud.conductor.away = False
        await until(lambda: cloud.conductor.power_states == [("i1", POWER_STATE_SHUTDOWN)])


class StrictConductor(ConductorDouble):
    """Refuses reports on guests that it has no record of."""

    async def ReportPowerStates(
        self, request: ReportPowerStatesRequest, call: Call
    ) -> ReportPowerStatesResponse:
        if any(state.instance_id not in self.records for state in request.states):
            raise PermissionDeniedError("ReportPowerStates")
        return await super().ReportPowerStates(request, call)


async def test_one_refused_report_hides_no_other() -> None:
    async with compute_cloud(conductor=StrictConductor()) as cloud:
        host = await cloud.host()
        cloud.conductor.records["i2"] = active("i2")
        for name in ("i1", "i2", "i3"):
            host.driver.hypervisor.enter(name, POWER_STATE_SHUTDOWN)
        await until(lambda: cloud.conductor.power_states == [("i2", POWER_STATE_SHUTDOWN)])


def put(into: dict[str, Instance], *records: Instance) -> None:
    """Put instances into a conductor's records."""
    into.update((record.id, record) for record in records)


async def test_comparison_reports_what_differs_and_leaves_tasks_alone() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        stopped = active("stopped")
        stopped.vm_state, stopped.power_state = VM_STATE_STOPPED, POWER_STATE_SHUTDOWN
        put(cloud.conductor.records, active("same"), active("off"), active("lost"), stopped, building("busy"))
        guests = {"same": POWER_STATE_RUNNING, "off": POWER_STATE_SHUTDOWN, "stopped": POWER_STATE_SHUTDOWN}
        for name, state in guests.items():
            # Behind the driver's back, so that there are no events.
            host.driver.hypervisor.guests[name] = FakeGuest(state)
        await host.role.reconciler.compare()
        reported = dict(cloud.conductor.power_states)
        assert reported == {"off": POWER_STATE_SHUTDOWN, "lost": POWER_STATE_UNSPECIFIED}


async def test_comparison_ends_guests_of_deleted_instances_only() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        dead, moved, moving = active("dead"), active("moved", "host2"), active("moving", "host2")
        dead.vm_state = VM_STATE_DELETED
        moving.task_state = TASK_STATE_SPAWNING
        put(cloud.conductor.records, active("mine"), dead, moved, moving)
        for name in ("mine", "dead", "moved", "moving", "unknown"):
            host.driver.hypervisor.enter(name, POWER_STATE_RUNNING)
        await host.role.reconciler.compare()
        assert sorted(host.driver.hypervisor.guests) == ["mine", "moving", "unknown"]


async def test_a_guest_without_a_record_is_ended_once_it_has_been_so_for_a_while() -> None:
    async with compute_cloud() as cloud:
        options = ComputeOptions(sync_power_state_interval=0, unclaimed_guest_grace=0.05)
        host = await cloud.host(options=options)
        host.driver.hypervisor.enter("unknown", POWER_STATE_RUNNING)
        await host.role.reconciler.compare()
        assert "unknown" in host.driver.hypervisor.guests
        await asyncio.sleep(0.06)
        await host.role.reconciler.compare()
        assert "unknown" not in host.driver.hypervisor.guests


@pytest.mark.parametrize(
    ("action", "left"),
    [("noop", POWER_STATE_RUNNING), ("log", POWER_STATE_RUNNING), ("shutdown", POWER_STATE_SHUTDOWN)],
)
async def test_other_actions_on_guests_of_deleted_instances(action: RunningDeletedAction, left: int) -> None:
    async with compute_cloud() as cloud:
        options = ComputeOptions(sync_power_state_interval=0, running_deleted_instance_action=action)
        host = await cloud.host(options=options)
        dead = active("dead")
        dead.vm_state = VM_STATE_DELETED
        put(cloud.conductor.records, dead)
        host.driver.hypervisor.enter("dead", POWER_STATE_RUNNING)
        await host.role.reconciler.compare()
        assert host.driver.hypervisor.guests["dead"].state == left


async def test_a_build_in_the_middle_of_a_comparison_is_left_alone() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        builds = []

        def build_now() -> None:
            builds.append(asyncio.ensure_future(host.lifecycle.BuildInstance(build("new"))))

        cloud.conductor.on_list = build_now
        await host.role.reconciler.compare()
        await asyncio.gather(*builds)
        assert list(host.driver.hypervisor.guests) == ["new"]
        assert cloud.conductor.power_states == []


@pytest.mark.parametrize("resume", [False, True])
async def test_after_a_reboot_of_the_host_guests_are_reported_or_started_again(resume: bool) -> None:
    driver = FakeDriver(FakeOptions())
    driver.hypervisor.enter("i1", POWER_STATE_SHUTDOWN)
    async with compute_cloud() as cloud:
        put(cloud.conductor.records, active("i1"))
        options = ComputeOptions(sync_power_state_interval=0, resume_guests_state_on_host_boot=resume)
        await cloud.host(driver=driver, options=options)
        if resume:
            await until(lambda: driver.hypervisor.guests["i1"].state == POWER_STATE_RUNNING)
            assert cloud.conductor.power_states == []
        else:
            await until(lambda: cloud.conductor.power_states == [("i1", POWER_STATE_SHUTDOWN)])
            assert driver.hypervisor.guests["i1"].state == POWER_STATE_SHUTDOWN


async def test_a_guest_that_can_not_be_started_again_is_reported() -> None:
    driver = FakeDriver(FakeOptions())
    driver.hypervisor.enter("i1", POWER_STATE_SHUTDOWN)
    driver.hypervisor.fail("reboot", DriverFailureError("fake", "reboot", "no"))
    async with compute_cloud() as cloud:
        put(cloud.conductor.records, active("i1"))
        options = ComputeOptions(sync_power_state_interval=0, resume_guests_state_on_host_boot=True)
        await cloud.host(driver=driver, options=options)
        await until(lambda: cloud.conductor.power_states == [("i1", POWER_STATE_SHUTDOWN)])


async def test_a_hypervisor_that_comes_back_is_compared_with_the_records() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        put(cloud.conductor.records, active("i1"))
        host.driver.hypervisor._tell(PowerChange("", POWER_STATE_UNSPECIFIED))
        await until(lambda: cloud.conductor.power_states == [("i1", POWER_STATE_UNSPECIFIED)])


async def test_a_comparison_that_fails_is_tried_again() -> None:
    driver = FakeDriver(FakeOptions())
    async with compute_cloud() as cloud:
        put(cloud.conductor.records, active("i1"))
        driver.hypervisor.fail("instances", UnavailableError("libvirt", "away"), times=2)
        await cloud.host(driver=driver)
        await until(lambda: cloud.conductor.power_states == [("i1", POWER_STATE_UNSPECIFIED)])


def test_options_that_can_not_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="ram_allocation_ratio must be above 0"):
        ComputeOptions(ram_allocation_ratio=0)


async def test_a_host_that_was_out_of_touch_compares_its_guests_with_the_records() -> None:
    """Instances may have been deleted meanwhile without this host."""
    async with compute_cloud() as cloud:
        options = ComputeOptions(sync_power_state_interval=0, report_interval=0.02)
        host = await cloud.host(options=options)
        host.driver.hypervisor.enter("i1", POWER_STATE_SHUTDOWN)
        await until(lambda: len(cloud.conductor.reports) > 1)
        cloud.conductor.away = True
        await until(lambda: host.role.tracker._out_of_touch)
        put(cloud.conductor.records, Instance(id="i1", host="host1", vm_state=VM_STATE_DELETED))
        cloud.conductor.away = False
        await until(lambda: not host.driver.hypervisor.guests)


async def test_a_state_that_came_while_a_task_was_under_way_is_reported_again() -> None:
    class BusyConductor(ConductorDouble):
        """Takes no report the first time."""

        busy = 1

        async def ReportPowerStates(
            self, request: ReportPowerStatesRequest, call: Call
        ) -> ReportPowerStatesResponse:
            if self.busy:
                self.busy -= 1
                return ReportPowerStatesResponse(
                    busy_instance_ids=[one.instance_id for one in request.states]
                )
            return await super().ReportPowerStates(request, call)

    async with compute_cloud(conductor=BusyConductor()) as cloud:
        host = await cloud.host()
        await host.lifecycle.BuildInstance(build("i1"))
        host.driver.hypervisor.enter("i1", POWER_STATE_SHUTDOWN)
        await until(lambda: cloud.conductor.power_states == [("i1", POWER_STATE_SHUTDOWN)])
