"""Guests of instances that are on another host: left alone while they move, ended when they have."""

import asyncio

import pytest

from drivers.network import FakeNetworkDriver
from drivers.testsuite.network import make_card, make_network
from novamesh.network.v1.interface_service_pb2 import DESCRIPTOR
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType
from services.compute import ComputeOptions
from services.mesh import Binding
from services.mesh.testing import ServiceRole
from services.network.interfaces import InterfaceServicer
from tests.compute_cloud import compute_cloud

HERE, OTHER = "host1", "host2"
EVACUATION = MigrationType.MIGRATION_TYPE_EVACUATION
Status = MigrationStatus


@pytest.mark.parametrize(
    ("source", "destination", "status", "stays"),
    [
        (HERE, OTHER, Status.MIGRATION_STATUS_RUNNING, True),
        (OTHER, HERE, Status.MIGRATION_STATUS_RUNNING, True),
        (HERE, OTHER, Status.MIGRATION_STATUS_PRE_MIGRATING, True),
        (HERE, OTHER, Status.MIGRATION_STATUS_DONE, False),
        (HERE, OTHER, Status.MIGRATION_STATUS_COMPLETED, False),
        (OTHER, HERE, Status.MIGRATION_STATUS_CANCELLED, False),
        (OTHER, HERE, Status.MIGRATION_STATUS_FAILED, False),
        # It stayed here, as far as that migration goes: no reason to end it at once.
        (HERE, OTHER, Status.MIGRATION_STATUS_FAILED, True),
        (OTHER, HERE, Status.MIGRATION_STATUS_COMPLETED, True),
    ],
)
async def test_what_becomes_of_a_guest_of_an_instance_elsewhere(
    source: str, destination: str, status: Status.ValueType, stays: bool
) -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host(HERE)
        cloud.conductor.migrations.append(
            Migration(
                instance_id="i",
                source_compute=source,
                dest_compute=destination,
                status=status,
                type=EVACUATION,
            )
        )
        host.driver.hypervisor.enter("i", POWER_STATE_RUNNING)
        await host.role.reconciler.compare()
        assert ("i" in host.driver.hypervisor.guests) == stays


async def test_evacuations_are_completed_once_nothing_is_left() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host(HERE)
        done = Migration(
            instance_id="i",
            source_compute=HERE,
            dest_compute=OTHER,
            status=Status.MIGRATION_STATUS_DONE,
            type=EVACUATION,
        )
        cloud.conductor.migrations.append(done)
        host.driver.hypervisor.enter("i", POWER_STATE_RUNNING)
        host.driver.hypervisor.fail("destroy", ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            await host.role.reconciler.compare()
        assert cloud.conductor.completed == []
        await host.role.reconciler.compare()
        assert cloud.conductor.completed == ["i"]


async def test_the_cards_of_a_guest_that_is_ended_are_unplugged() -> None:
    cards = FakeNetworkDriver()
    network = make_network()
    gone, stays, others = (
        make_card(network, number, host=where, instance_id=instance)
        for number, where, instance in ((5, HERE, "i"), (6, HERE, "j"), (7, OTHER, "i"))
    )
    await cards.plug([gone, stays, others])
    async with compute_cloud() as cloud:
        rebuilt = asyncio.Event()
        rebuilt.set()
        served = Binding(DESCRIPTOR.services_by_name["InterfaceService"], InterfaceServicer(cards, rebuilt))
        address = await cloud.node.serve(ServiceRole("network", [served]), HERE)
        options = ComputeOptions(sync_power_state_interval=0, network_address=address)
        host = await cloud.host(HERE, options=options)
        evacuated = Migration(
            instance_id="i",
            source_compute=HERE,
            dest_compute=OTHER,
            status=Status.MIGRATION_STATUS_DONE,
            type=EVACUATION,
        )
        cloud.conductor.migrations.append(evacuated)
        host.driver.hypervisor.enter("i", POWER_STATE_RUNNING)
        await host.role.reconciler.compare()
        assert host.driver.hypervisor.guests == {}
        assert {one.card.id for one in await cards.plugged()} == {stays.id, others.id}
