"""Tells the conductor what the host has, and that it is alive.

What is claimed on the host is the conductor's own sum; a host can't change it.
"""

import asyncio
from collections.abc import Callable

import structlog

from drivers.virt import Driver
from novamesh.conductor.v1.host_service_pb2 import RegisterHostRequest, ReportHostRequest
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.failures import Failure, NotFoundError, UnavailableError
from novamesh.types.v1.host_pb2 import HostInventory
from services.compute.options import ComputeOptions
from services.mesh import Node

log = structlog.get_logger("novamesh.compute")

# Seconds until the first registration is tried again, doubled up to the report interval.
FIRST_PAUSE = 0.2


class ResourceTracker:
    """Registers the host and reports on it.

    A hypervisor that is away doesn't stop the heartbeat, which says why the host
    can't run guests; the conductor counts it as disabled for as long, as Nova's
    libvirt driver disables its service.
    """

    def __init__(
        self, node: Node, driver: Driver, options: ComputeOptions, address: Callable[[], str]
    ) -> None:
        self._node = node
        self._driver = driver
        self._options = options
        self._address = address
        # What the conductor has, without what changes all the time; None before it has anything.
        self._registered: bytes | None = None
        self._inventory = HostInventory()
        self._reason = ""
        # True after a report that did not come through: deletes may have gone on without this host.
        self._out_of_touch = False
        self.on_return: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Register, and report from then on, in the background."""
        self._task = asyncio.create_task(self._report_for_ever(), name="report host")

    async def stop(self) -> None:
        """Stop reporting; the host counts as down after a while."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def report(self) -> None:
        """Say what there is to say now. Raises what the conductor fails with."""
        await self._look()
        facts = _lasting(self._inventory)
        if self._reason:
            if self._registered is None:
                raise UnavailableError(self._driver.name, self._reason)
        elif facts != self._registered:
            await self._register(facts)
            return
        request = ReportHostRequest(
            name=self._node.identity.host,
            disk_available_gb=self._inventory.disk_available_gb,
            uptime=self._inventory.uptime,
            unavailable_reason=self._reason,
        )
        stub = HostServiceStub(self._node.channel("conductor"))
        try:
            await stub.ReportHost(request, timeout=self._options.report_interval)
        except NotFoundError:
            # The record was deleted while the host lives.
            await self._register(facts)

    async def _look(self) -> None:
        """Ask the driver; on failure the last inventory stands, and the reason is told."""
        try:
            self._inventory = await self._driver.inventory()
        except Failure as failure:
            if failure.message != self._reason:
                log.error("hypervisor away", driver=self._driver.name, why=failure.message)
            self._reason = failure.message
            return
        if self._reason:
            log.info("hypervisor back", driver=self._driver.name)
        self._reason = ""

    async def _register(self, facts: bytes) -> None:
        options = self._options
        request = RegisterHostRequest(
            name=self._node.identity.host,
            address=self._address(),
            network_address=options.network_address,
            inventory=self._inventory,
            cpu_allocation_ratio=options.cpu_allocation_ratio,
            ram_allocation_ratio=options.ram_allocation_ratio,
            disk_allocation_ratio=options.disk_allocation_ratio,
            reserved_host_memory_mb=options.reserved_host_memory_mb,
            reserved_host_disk_mb=options.reserved_host_disk_mb,
            reserved_host_cpus=options.reserved_host_cpus,
        )
        stub = HostServiceStub(self._node.channel("conductor"))
        await stub.RegisterHost(request, timeout=15)
        self._registered = facts
        log.info("host registered", host=request.name, address=request.address)

    async def _report_for_ever(self) -> None:
        interval = self._options.report_interval
        pause = FIRST_PAUSE
        while True:
            try:
                await self.report()
                pause = interval
                if self._out_of_touch:
                    self._out_of_touch = False
                    self.on_return()
            except Failure as failure:
                log.warning("host not reported", why=failure.message, again_in=pause)
                self._out_of_touch = True
            except Exception:
                # A tracker that dies would take the host out of the cloud without a word.
                log.exception("host not reported")
            await asyncio.sleep(pause)
            pause = min(pause * 2, interval)


def _lasting(inventory: HostInventory) -> bytes:
    """The inventory without free disk and uptime, to compare."""
    lasting = HostInventory()
    lasting.CopyFrom(inventory)
    lasting.ClearField("disk_available_gb")
    lasting.ClearField("uptime")
    return lasting.SerializeToString(deterministic=True)
