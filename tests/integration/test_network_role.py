"""The network role between a conductor that has records and a driver that has none."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from drivers.network import FakeNetworkDriver
from drivers.testsuite.network import make_card, make_network
from novamesh.conductor.v1 import network_service_pb2 as records
from novamesh.failures import DriverFailureError, PermissionDeniedError, UnavailableError
from novamesh.network.v1.interface_service_pb2 import (
    ListPluggedInterfacesRequest,
    PlugInterfacesRequest,
    UnplugInterfacesRequest,
)
from novamesh.network.v1.interface_service_pb2_grpc import InterfaceServiceStub
from services.mesh import Binding, Call
from services.mesh.testing import LocalNode, ServiceRole, local_node
from services.network import NetworkOptions, NetworkRole

if TYPE_CHECKING:
    from novamesh.network.v1.interface_service_pb2_grpc import InterfaceServiceAsyncStub

CARD = make_card(make_network(), 5, host="host1")
OTHERS = make_card(make_network(), 6, host="host2")


class Records:
    """Just enough of the conductor's NetworkService."""

    def __init__(self) -> None:
        self.away = False
        self.asked: list[str] = []

    async def ListNetworks(
        self, request: records.ListNetworksRequest, call: Call
    ) -> records.ListNetworksResponse:
        if self.away:
            raise UnavailableError("conductor", "away")
        return records.ListNetworksResponse(networks=[make_network(0), make_network(1)])

    async def ListInterfaces(
        self, request: records.ListInterfacesRequest, call: Call
    ) -> records.ListInterfacesResponse:
        self.asked.append(request.host)
        return records.ListInterfacesResponse(interfaces=[CARD])


def conductor(servicer: Records) -> ServiceRole:
    return ServiceRole(
        "conductor", [Binding(records.DESCRIPTOR.services_by_name["NetworkService"], servicer)]
    )


async def serve(
    node: LocalNode, driver: FakeNetworkDriver, options: NetworkOptions | None = None
) -> NetworkRole:
    own = await node.peer("network")
    role = NetworkRole(own, options or NetworkOptions(), driver)
    await own.add(role)
    return role


async def stub_of(node: LocalNode, role: str, host: str = "host1") -> "InterfaceServiceAsyncStub":
    peer = await node.peer(role, host)
    return InterfaceServiceStub(peer.channel("network"))


async def ids(driver: FakeNetworkDriver) -> set[str]:
    return {plugged.card.id for plugged in await driver.plugged()}


async def test_a_start_makes_the_host_as_the_records_say() -> None:
    servicer, driver = Records(), FakeNetworkDriver()
    await driver.plug([OTHERS])
    async with local_node(conductor(servicer)) as node:
        await serve(node, driver)
        assert await ids(driver) == {CARD.id}
        assert set(driver.networks) == {make_network(0).id, make_network(1).id}
        assert servicer.asked == ["host1"]


async def test_plug_list_and_unplug() -> None:
    driver = FakeNetworkDriver()
    async with local_node(conductor(Records())) as node:
        await serve(node, driver)
        stub = await stub_of(node, "conductor")
        await stub.PlugInterfaces(PlugInterfacesRequest(interfaces=[OTHERS]))
        driver.lease(OTHERS.mac_address)
        answer = await stub.ListPluggedInterfaces(ListPluggedInterfacesRequest())
        assert {(p.interface.id, p.leased) for p in answer.interfaces} == {
            (CARD.id, False),
            (OTHERS.id, True),
        }
        await stub.UnplugInterfaces(UnplugInterfacesRequest(interfaces=[OTHERS]))
        assert await ids(driver) == {CARD.id}


async def test_a_compute_host_touches_its_own_cards_only() -> None:
    driver = FakeNetworkDriver()
    async with local_node(conductor(Records())) as node:
        await serve(node, driver)
        own = await stub_of(node, "compute", "host1")
        await own.UnplugInterfaces(UnplugInterfacesRequest(interfaces=[CARD]))
        await own.PlugInterfaces(PlugInterfacesRequest(interfaces=[CARD]))
        await driver.plug([OTHERS])
        answer = await own.ListPluggedInterfaces(ListPluggedInterfacesRequest())
        assert [one.interface.id for one in answer.interfaces] == [CARD.id]
        await driver.unplug([OTHERS])
        thief = await stub_of(node, "compute", "host2")
        stolen = make_card(make_network(), 5, host="host2")
        for cards in ([CARD], [stolen]):
            with pytest.raises(PermissionDeniedError):
                await thief.UnplugInterfaces(UnplugInterfacesRequest(interfaces=cards))
            with pytest.raises(PermissionDeniedError):
                await thief.PlugInterfaces(PlugInterfacesRequest(interfaces=cards))
        assert await ids(driver) == {CARD.id}


async def test_a_conductor_that_is_away_is_asked_again() -> None:
    servicer, driver = Records(), FakeNetworkDriver()
    servicer.away = True
    async with local_node(conductor(servicer)) as node:
        await serve(node, driver, NetworkOptions(retry_interval=0.01))
        stub = await stub_of(node, "conductor")
        with pytest.raises(UnavailableError, match="not rebuilt yet"):
            await stub.PlugInterfaces(PlugInterfacesRequest(interfaces=[OTHERS]))
        servicer.away = False
        while not await ids(driver):
            await asyncio.sleep(0.01)
        await stub.PlugInterfaces(PlugInterfacesRequest(interfaces=[OTHERS]))
        assert await ids(driver) == {CARD.id, OTHERS.id}


async def test_a_host_that_lacks_something_does_not_start() -> None:
    driver = FakeNetworkDriver()
    driver.fail_next("start", DriverFailureError("network", "check the host", "There is no dnsmasq."))
    async with local_node(conductor(Records())) as node:
        with pytest.raises(DriverFailureError, match="no dnsmasq"):
            await serve(node, driver)


@pytest.mark.parametrize("tear_down", [True, False])
async def test_a_stop_leaves_or_tears_down(tear_down: bool) -> None:
    driver = FakeNetworkDriver()
    async with local_node(conductor(Records())) as node:
        await serve(node, driver, NetworkOptions(tear_down_on_stop=tear_down))
    assert await ids(driver) == (set() if tear_down else {CARD.id})
