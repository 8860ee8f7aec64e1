"""Whatever comes in whatever order, the kernel's sets are what the picture says."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers.network.linux import LinuxNetworkOptions
from drivers.network.linux.driver import LinuxNetworkDriver
from drivers.network.linux.libnftables import Nftables
from drivers.testsuite.network import make_card, make_network
from novamesh.types.v1.network_pb2 import VirtualInterface
from tests.netns import need, own_namespace

pytestmark = pytest.mark.real

NETWORKS = [make_network(number) for number in range(2)]


@pytest.fixture
async def driver() -> AsyncIterator[LinuxNetworkDriver]:
    need("dnsmasq", "ip")
    folder = Path("/run/novamesh-test-kept")
    with own_namespace():
        driver = LinuxNetworkDriver(LinuxNetworkOptions(networks_path=folder))
        await driver.start()
        yield driver
        await driver.tear_down()
        await driver.close()


def elements(tables: Nftables, name: str) -> set[Any]:
    """What is in a set of the bridge table, as nft prints it."""
    text = tables.run(f"list set bridge novamesh {name}").partition("elements = {")[2].partition("}")[0]
    return {" ".join(element.split()) for element in text.split(",") if element.strip()}


@pytest.mark.parametrize("seed", range(3))
async def test_sets_follow_the_picture(driver: LinuxNetworkDriver, seed: int) -> None:
    chance = random.Random(seed)
    expected: dict[str, VirtualInterface] = {}
    tables = Nftables()

    def some_card() -> VirtualInterface:
        number = chance.randrange(2, 12)
        address = chance.randrange(100, 250)
        network = chance.choice(NETWORKS)
        subnet = network.cidr.rpartition(".")[0]
        return make_card(
            network, number, address=chance.choice([f"{subnet}.{number}", f"{subnet}.{address}"])
        )

    for _ in range(25):
        # Several at once, so that they share a batch.
        calls = []
        for _ in range(chance.randrange(1, 5)):
            card = some_card()
            if chance.random() < 0.6:
                expected[card.id] = card
                calls.append(driver.plug([card]))
            else:
                expected.pop(card.id, None)
                calls.append(driver.unplug([card]))
        if chance.random() < 0.1:
            tables.run("flush ruleset")
        await asyncio.gather(*calls)
        if chance.random() < 0.1:
            await driver.apply(NETWORKS, list(expected.values()))
        cards = expected.values()
        if calls and not tables.run("list tables"):
            # Nothing changed, so nobody noticed; whoever changes something next mends it.
            await driver.apply(NETWORKS, list(cards))
        assert elements(tables, "cards") == {f'"{card.device}"' for card in cards}
        assert elements(tables, "macs") == {f'"{card.device}" . {card.mac_address}' for card in cards}
        assert elements(tables, "addresses") == {f'"{card.device}" . {card.address}' for card in cards}
        assert not elements(tables, "strangers") & elements(tables, "cards")
        assert {plugged.card.id for plugged in await driver.plugged()} == set(expected)
    tables.close()


async def test_names_of_devices_that_are_gone_do_not_pile_up(driver: LinuxNetworkDriver) -> None:
    tables = Nftables()
    for number in range(2, 8):
        card = make_card(NETWORKS[0], number)
        await driver.plug([card])
        await driver.unplug([card])
        assert elements(tables, "strangers") == {f'"{card.device}"'}
    tables.close()


async def test_the_tables_can_be_read_as_json(driver: LinuxNetworkDriver) -> None:
    await driver.plug([make_card(NETWORKS[0], 5)])
    process = await asyncio.create_subprocess_exec("nft", "-j", "list", "ruleset", stdout=-1)
    output, _ = await process.communicate()
    found = {item["table"]["family"] for item in json.loads(output)["nftables"] if "table" in item}
    assert found == {"bridge", "inet"}
