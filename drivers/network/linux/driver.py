"""The Linux driver: asyncio in front, one thread behind."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from drivers.network.linux.cards import check_card, check_network
from drivers.network.linux.host import LinuxHost
from drivers.network.linux.options import LinuxNetworkOptions
from drivers.network.protocols import NetworkDriver, PluggedCard
from novamesh.failures import DriverFailureError, Failure
from novamesh.types.v1.network_pb2 import Network, VirtualInterface

T = TypeVar("T")
R = TypeVar("R", Network, VirtualInterface)
log = structlog.get_logger("novamesh.network")
# Seconds before a dnsmasq that ended is started again, so that one that can't stay up isn't a busy loop.
_RESTART_DELAY = 1.0


class LinuxNetworkDriver(NetworkDriver):
    """Bridges, dnsmasq and nftables on this host.

    All work is done by one thread, in the order of the calls; what is plugged and unplugged
    while it is busy is done together, as one transaction.
    """

    def __init__(self, options: LinuxNetworkOptions | None = None) -> None:
        self._host = LinuxHost(options or LinuxNetworkOptions())
        self._thread = ThreadPoolExecutor(1, "novamesh-network")
        self._plug: dict[str, VirtualInterface] = {}
        self._unplug: dict[str, VirtualInterface] = {}
        # Done when what is waiting now is done.
        self._batch: asyncio.Task[None] | None = None
        self._running = asyncio.Lock()
        self._watched: dict[int, int] = {}
        self._repairing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """See NetworkDriver."""
        await self._do(self._host.check)

    async def apply(self, networks: Sequence[Network], cards: Sequence[VirtualInterface]) -> None:
        """See NetworkDriver."""
        good_networks = [network for network in networks if _makes_sense(check_network, network)]
        good_cards = [card for card in cards if _makes_sense(check_card, card)]
        async with self._running:
            await self._do(lambda: self._host.apply(good_networks, good_cards))
            await self._watch()

    async def plug(self, cards: Sequence[VirtualInterface]) -> None:
        """See NetworkDriver."""
        for card in cards:
            check_card(card)
        for card in cards:
            self._plug[card.id] = card
            self._unplug.pop(card.id, None)
        await self._next_batch()

    async def unplug(self, cards: Sequence[VirtualInterface]) -> None:
        """See NetworkDriver."""
        for card in cards:
            self._unplug[card.id] = card
            self._plug.pop(card.id, None)
        await self._next_batch()

    async def plugged(self) -> Sequence[PluggedCard]:
        """See NetworkDriver."""
        return await self._do(self._host.plugged)

    async def tear_down(self) -> None:
        """See NetworkDriver."""
        async with self._running:
            self._unwatch(set())
            await self._do(self._host.tear_down)

    async def close(self) -> None:
        """See NetworkDriver."""
        self._unwatch(set())
        if self._repairing:
            self._repairing.cancel()
        await self._do(self._host.close)
        self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise DriverFailureError("network", "change the host", f"The host refused: {error}") from error

    async def _next_batch(self) -> None:
        if self._batch is None:
            self._batch = asyncio.create_task(self._work_off())
        # Others wait for the same batch: one caller that gives up must not take it from them.
        await asyncio.shield(self._batch)

    async def _work_off(self) -> None:
        async with self._running:
            plug, unplug = self._plug, self._unplug
            self._plug, self._unplug, self._batch = {}, {}, None
            await self._do(lambda: self._host.change(plug.values(), unplug.values()))
            await self._watch()

    async def _watch(self) -> None:
        """Be told by the kernel when a dnsmasq ends."""
        pids = await self._do(self._host.server_pids)
        self._unwatch(pids)
        loop = asyncio.get_running_loop()
        for pid in pids - self._watched.keys():
            try:
                handle = os.pidfd_open(pid)
            except ProcessLookupError:
                self._ended(pid)
                continue
            self._watched[pid] = handle
            loop.add_reader(handle, self._ended, pid)

    def _unwatch(self, keep: set[int]) -> None:
        for pid in self._watched.keys() - keep:
            handle = self._watched.pop(pid)
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)

    def _ended(self, pid: int) -> None:
        self._unwatch(self._watched.keys() - {pid})
        log.warning("dnsmasq ended by itself", pid=pid)
        if self._repairing is None or self._repairing.done():
            self._repairing = asyncio.create_task(self._repair())

    async def _repair(self) -> None:
        delay = _RESTART_DELAY
        while True:
            await asyncio.sleep(delay)
            try:
                async with self._running:
                    await self._do(self._host.repair)
                    await self._watch()
            except Failure as failure:
                delay = min(delay * 2, 60.0)
                log.error("dnsmasq can't be started again", error=failure.message, retry_in=delay)
            else:
                log.info("dnsmasq started again")
                return


def _makes_sense(check: Callable[[R], None], record: R) -> bool:
    """Say what is wrong with a record instead of raising it: the others' guests need their network."""
    try:
        check(record)
    except Failure as failure:
        log.error("left out of this host's network", record=record.id, error=failure.message)
        return False
    return True
