"""What every network driver must do. Derive from NetworkDriverSuite and give it a harness.

    class TestMine(NetworkDriverSuite):
        @pytest.fixture
        async def harness(self):
            yield MyHarness()

No test here waits for a time or knows of Linux.
"""

from typing import Protocol

import pytest

from drivers.network import NetworkDriver
from novamesh.failures import Failure, InvalidArgumentError, NotSupportedError
from novamesh.types.v1.network_pb2 import Network, NetworkMode, VirtualInterface


class NetworkHarness(Protocol):
    """A host, and guests on it."""

    driver: NetworkDriver
    # Whether the driver checks what it is given; one without a host has nothing to protect.
    checks: bool

    async def ask_dhcp(self, card: VirtualInterface) -> str | None:
        """Be the card's guest and ask for an address once. None when nobody answers."""


def make_network(number: int = 0, **changes: object) -> Network:
    """A FlatDHCP network 10.(80 + number).0.0/24."""
    subnet = f"10.{80 + number}.0"
    fields: dict[str, object] = {
        "id": f"00000000-0000-0000-0000-00000000000{number}",
        "label": f"net{number}",
        "mode": NetworkMode.NETWORK_MODE_FLAT_DHCP,
        "cidr": f"{subnet}.0/24",
        "gateway": f"{subnet}.1",
        "dhcp_start": f"{subnet}.2",
        "bridge": f"br{100 + number}",
    }
    return Network(**(fields | changes))  # type: ignore[arg-type]


def make_card(network: Network, number: int, **changes: object) -> VirtualInterface:
    """The card of instance `number`, with the address of that number."""
    subnet = network.cidr.rpartition(".")[0]
    second = subnet.split(".")[1]
    fields: dict[str, object] = {
        "id": f"{number:04x}{second:0>4}-4d00-4000-8000-000000000000",
        "instance_id": f"10000000-0000-0000-0000-{number:012x}",
        "network": network,
        "mac_address": f"fa:16:3e:{second}:00:{number:02x}",
        "address": f"{subnet}.{number}",
        "hostname": f"vm{number}",
    }
    fields |= changes
    fields.setdefault("device", f"tap{str(fields['id'])[:11]}")
    return VirtualInterface(**fields)  # type: ignore[arg-type]


async def _ids(driver: NetworkDriver) -> set[str]:
    return {plugged.card.id for plugged in await driver.plugged()}


class NetworkDriverSuite:
    """The suite. `harness` is started; what it makes is torn down by its fixture."""

    async def test_a_fresh_host_has_nothing_plugged(self, harness: NetworkHarness) -> None:
        await harness.driver.apply([], [])
        assert await harness.driver.plugged() == []

    async def test_plug_of_a_card_on_a_new_network(self, harness: NetworkHarness) -> None:
        card = make_card(make_network(), 5)
        await harness.driver.plug([card])
        assert await _ids(harness.driver) == {card.id}

    async def test_plug_twice_is_plug_once(self, harness: NetworkHarness) -> None:
        card = make_card(make_network(), 5)
        await harness.driver.plug([card])
        await harness.driver.plug([card])
        assert await _ids(harness.driver) == {card.id}
        assert await harness.ask_dhcp(card) == card.address

    async def test_a_plugged_guest_gets_its_address(self, harness: NetworkHarness) -> None:
        one, other = (make_card(make_network(), number) for number in (5, 6))
        await harness.driver.plug([one, other])
        assert await harness.ask_dhcp(other) == other.address
        assert await harness.ask_dhcp(one) == one.address

    async def test_a_lease_shows(self, harness: NetworkHarness) -> None:
        one, other = (make_card(make_network(), number) for number in (5, 6))
        await harness.driver.plug([one, other])
        await harness.ask_dhcp(one)
        leased = {plugged.card.id: plugged.leased for plugged in await harness.driver.plugged()}
        assert leased == {one.id: True, other.id: False}

    async def test_nobody_answers_a_stranger(self, harness: NetworkHarness) -> None:
        network = make_network()
        await harness.driver.plug([make_card(network, 5)])
        assert await harness.ask_dhcp(make_card(network, 6)) is None

    async def test_nobody_answers_once_unplugged(self, harness: NetworkHarness) -> None:
        card = make_card(make_network(), 5)
        await harness.driver.plug([card])
        assert await harness.ask_dhcp(card) == card.address
        await harness.driver.unplug([card])
        assert await harness.ask_dhcp(card) is None

    async def test_an_address_is_free_for_the_next_guest(self, harness: NetworkHarness) -> None:
        network = make_network()
        old = make_card(network, 5)
        await harness.driver.plug([old])
        assert await harness.ask_dhcp(old) == old.address
        await harness.driver.unplug([old])
        new = make_card(network, 6, address=old.address)
        await harness.driver.plug([new])
        assert await harness.ask_dhcp(new) == old.address

    async def test_unplug_of_what_is_not_there(self, harness: NetworkHarness) -> None:
        one, other = (make_card(make_network(), number) for number in (5, 6))
        await harness.driver.unplug([one])
        await harness.driver.plug([other])
        await harness.driver.unplug([one])
        await harness.driver.unplug([one])
        assert await _ids(harness.driver) == {other.id}

    async def test_unplug_goes_by_id(self, harness: NetworkHarness) -> None:
        card = make_card(make_network(), 5)
        await harness.driver.plug([card])
        await harness.driver.unplug([VirtualInterface(id=card.id)])
        assert await _ids(harness.driver) == set()

    async def test_plug_again_with_another_address(self, harness: NetworkHarness) -> None:
        network = make_network()
        card = make_card(network, 5)
        await harness.driver.plug([card])
        assert await harness.ask_dhcp(card) == card.address
        moved = make_card(network, 5, address="10.80.0.77")
        await harness.driver.plug([moved])
        assert [plugged.card for plugged in await harness.driver.plugged()] == [moved]
        assert await harness.ask_dhcp(moved) == "10.80.0.77"

    async def test_two_networks(self, harness: NetworkHarness) -> None:
        one, other = make_card(make_network(0), 5), make_card(make_network(1), 5)
        await harness.driver.plug([one, other])
        assert await harness.ask_dhcp(one) == one.address
        assert await harness.ask_dhcp(other) == other.address

    async def test_apply_replaces_everything(self, harness: NetworkHarness) -> None:
        old_network, network = make_network(0), make_network(1)
        old, kept, new = make_card(old_network, 4), make_card(network, 5), make_card(network, 6)
        await harness.driver.apply([old_network, network], [old, kept])
        await harness.driver.apply([network], [kept, new])
        assert await _ids(harness.driver) == {kept.id, new.id}
        assert await harness.ask_dhcp(kept) == kept.address
        assert await harness.ask_dhcp(new) == new.address

    async def test_apply_keeps_leases(self, harness: NetworkHarness) -> None:
        network = make_network()
        card = make_card(network, 5)
        await harness.driver.apply([network], [card])
        await harness.ask_dhcp(card)
        await harness.driver.apply([network], [card])
        assert [plugged.leased for plugged in await harness.driver.plugged()] == [True]

    async def test_tear_down_forgets_everything_and_may_come_again(self, harness: NetworkHarness) -> None:
        card = make_card(make_network(), 5)
        await harness.driver.plug([card])
        await harness.driver.tear_down()
        await harness.driver.tear_down()
        assert await harness.driver.plugged() == []
        await harness.driver.plug([card])
        assert await harness.ask_dhcp(card) == card.address

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"device": 'x" ; flush ruleset'}, InvalidArgumentError),
            ({"mac_address": "fa:16:3e:00:00"}, InvalidArgumentError),
            ({"address": "10.99.0.5"}, InvalidArgumentError),
            ({"network": make_network(mode=NetworkMode.NETWORK_MODE_VLAN)}, NotSupportedError),
        ],
    )
    async def test_a_card_that_makes_no_sense(
        self, harness: NetworkHarness, changes: dict[str, object], error: type[Failure]
    ) -> None:
        good = make_card(make_network(), 5)
        bad = make_card(make_network(), 6)
        bad.MergeFrom(VirtualInterface(**changes))  # type: ignore[arg-type]
        if not harness.checks:
            return
        with pytest.raises(error):
            await harness.driver.plug([good, bad])
        assert await _ids(harness.driver) == set()
