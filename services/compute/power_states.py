"""Tells the conductor of guests that change their power state by themselves."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from drivers.virt import Driver, PowerChange
from novamesh.conductor.v1.instance_service_pb2 import ReportedPowerState, ReportPowerStatesRequest
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.failures import Failure, NotFoundError, UnavailableError
from novamesh.types.v1.instance_pb2 import POWER_STATE_UNSPECIFIED, PowerState
from services.compute.work import WorkTable
from services.mesh import Node

log = structlog.get_logger("novamesh.compute")

# Seconds in which changes are gathered: a reboot is off and on, a host's shutdown ends many guests at once.
GATHER = 0.3
# Seconds until changes that no conductor took are sent again.
AGAIN = 2.0


class PowerStateReporter:
    """Watches the driver and reports what nobody asked for.

    `on_return` is called when the hypervisor was away and is back. What an
    operation has made of a guest is in its answer already, and isn't reported.
    """

    def __init__(self, node: Node, driver: Driver, work: WorkTable, on_return: Callable[[], None]) -> None:
        self._node = node
        self._driver = driver
        self._work = work
        self._on_return = on_return
        # Who changed, and to what as far as is known; the last change counts.
        self._changed: dict[str, PowerState.ValueType] = {}
        # What the conductor was told last, by an answer or a report.
        self._told: dict[str, PowerState.ValueType] = {}
        self._wake = asyncio.Event()
        self._unwatch: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._unwatch = self._driver.watch(self._notice)
        self._task = asyncio.create_task(self._report_for_ever(), name="report power states")

    async def stop(self) -> None:
        """Stop watching; what isn't reported yet is found by the next start's comparison."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def told(self, instance_id: str, state: PowerState.ValueType) -> None:
        """Note that the conductor learns this state from an operation's answer."""
        self._told[instance_id] = state

    def forget(self, instance_id: str) -> None:
        """Note that the guest is gone, as the conductor wished."""
        self._told.pop(instance_id, None)
        self._changed.pop(instance_id, None)

    async def report(self, states: Mapping[str, PowerState.ValueType]) -> None:
        """Tell the conductor now. Raises what ReportPowerStates fails with."""
        if not states:
            return
        request = ReportPowerStatesRequest(
            states=[ReportedPowerState(instance_id=i, power_state=s) for i, s in states.items()]
        )
        stub = InstanceServiceStub(self._node.channel("conductor"))
        busy = set((await stub.ReportPowerStates(request, timeout=15)).busy_instance_ids)
        for instance_id, state in states.items():
            if instance_id in busy:
                # A task that fails would leave the record as it was before this change.
                self._again(instance_id, state)
                continue
            self._told[instance_id] = state
            log.info("power state reported", instance=instance_id, state=PowerState.Name(state))

    def _again(self, instance_id: str, state: PowerState.ValueType) -> None:
        self._changed.setdefault(instance_id, state)
        asyncio.get_running_loop().call_later(AGAIN, self._wake.set)

    def _notice(self, change: PowerChange) -> None:
        if not change.instance_id:
            self._on_return()
        else:
            self._changed[change.instance_id] = change.power_state
            self._wake.set()

    async def _report_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER)
            self._wake.clear()
            changed, self._changed = self._changed, {}
            try:
                await self._report_or_divide(await self._look_at(changed))
            except UnavailableError as failure:
                log.info("power states not reported", why=failure.message, again_in=AGAIN)
                self._changed = changed | self._changed
                await asyncio.sleep(AGAIN)
                self._wake.set()
            except Exception:
                # Without this task nobody would learn of guests that end.
                log.exception("power states not reported")

    async def _look_at(self, changed: Mapping[str, PowerState.ValueType]) -> dict[str, PowerState.ValueType]:
        """The states as they are now, of those that are news. Raises UnavailableError."""
        news: dict[str, PowerState.ValueType] = {}
        for instance_id, last in changed.items():
            if self._work.closed(instance_id) or self._told.get(instance_id) == last:
                continue
            if self._work.busy(instance_id):
                # Most likely the work's own doing. Looked at again when the work is done.
                self._changed.setdefault(instance_id, last)
                self._wake.set()
                continue
            try:
                state = await self._driver.power_state(instance_id)
            except NotFoundError:
                state = POWER_STATE_UNSPECIFIED
            if self._told.get(instance_id) != state:
                news[instance_id] = state
        return news

    async def _report_or_divide(self, states: dict[str, PowerState.ValueType]) -> None:
        """Report; one by one when the whole is refused, so that one instance can't hide the others."""
        try:
            await self.report(states)
        except UnavailableError:
            raise
        except Failure as failure:
            if len(states) == 1:
                log.warning("power state refused", instance=next(iter(states)), why=failure.message)
                return
            for instance_id, state in states.items():
                await self._report_or_divide({instance_id: state})
