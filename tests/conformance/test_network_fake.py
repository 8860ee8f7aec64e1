"""The network driver in memory, by the suite; and what it offers to tests of others."""

from collections.abc import AsyncIterator

import pytest

from drivers.network import FakeNetworkDriver
from drivers.testsuite.network import NetworkDriverSuite, make_card, make_network
from novamesh.failures import DriverFailureError
from novamesh.types.v1.network_pb2 import VirtualInterface


class FakeHarness:
    checks = False

    def __init__(self) -> None:
        self.driver = FakeNetworkDriver()

    async def ask_dhcp(self, card: VirtualInterface) -> str | None:
        return self.driver.lease(card.mac_address)


class TestFakeNetworkDriver(NetworkDriverSuite):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[FakeHarness]:
        harness = FakeHarness()
        await harness.driver.start()
        yield harness
        await harness.driver.tear_down()
        await harness.driver.close()


async def test_a_fault_on_demand_comes_once() -> None:
    driver = FakeNetworkDriver()
    driver.fail_next("plug")
    card = make_card(make_network(), 5)
    with pytest.raises(DriverFailureError):
        await driver.plug([card])
    assert await driver.plugged() == []
    await driver.plug([card])
    assert len(await driver.plugged()) == 1
