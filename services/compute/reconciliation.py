"""Compares the host's guests with the conductor's records, and mends what differs.

At the start of the role, after the hypervisor was away, and every now and then:

- A guest whose instance is deleted is an orphan: it is destroyed, or what
  `running_deleted_instance_action` says. So is a guest that the conductor has no
  record of for this host, once that has stayed so for `unclaimed_guest_grace`:
  a mistaken answer isn't enough to end a guest. One whose instance has migrated, or
  was evacuated while the host was down, is known to be elsewhere and ends at once.
- A guest in another power state than its record is reported; the conductor
  decides what that means. At the start, one that should run and doesn't is
  started again where `resume_guests_state_on_host_boot` says so.
- What is kept aside for a migration that is over is removed; see `kept_guests`.
- Whatever has an operation under way is left to that operation.
"""

import asyncio
import time

import structlog

from drivers.virt import GuestState
from novamesh.conductor.v1.instance_service_pb2 import (
    GetInstanceRequest,
    InstanceFilter,
    ListInstancesRequest,
)
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.failures import Failure, NotFoundError
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_PAUSED,
    POWER_STATE_RUNNING,
    POWER_STATE_UNSPECIFIED,
    VM_STATE_ACTIVE,
    VM_STATE_DELETED,
    Instance,
    PowerState,
)
from services.compute.evacuations import Evacuations
from services.compute.guests import Guests
from services.compute.kept_guests import KeptGuests
from services.compute.moved_guests import whereabouts
from services.compute.options import ComputeOptions
from services.compute.power_states import PowerStateReporter
from services.compute.work import WorkKey, WorkTable
from services.mesh import Node

log = structlog.get_logger("novamesh.compute")

PAGE = 1000
# Seconds until a comparison that failed is tried again.
AGAIN = 5.0


class Reconciler:
    """See the module."""

    def __init__(
        self,
        node: Node,
        guests: Guests,
        work: WorkTable,
        reporter: PowerStateReporter,
        options: ComputeOptions,
    ) -> None:
        self._node = node
        self._guests = guests
        self._work = work
        self._reporter = reporter
        self._options = options
        self._kept = KeptGuests(node, guests.driver, work)
        self._evacuations = Evacuations(node)
        # Guests that an operation is bringing elsewhere, or here.
        self._moving = False
        # Guests without any record, and since when.
        self._unclaimed: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Compare now and then, in the background."""
        self._task = asyncio.create_task(self._compare_for_ever(), name="reconcile guests")

    async def stop(self) -> None:
        """Stop comparing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def soon(self) -> None:
        """Compare again as soon as possible."""
        self._wake.set()

    async def compare(self, *, starting: bool = False) -> None:
        """Compare once. Raises what the conductor and the driver fail with."""
        began = time.monotonic()
        # Records first: a guest that is built meanwhile then looks like one without a record, which is
        # looked up again, and not like a record whose guest is lost.
        records = await self._records()
        states = {guest.instance_id: guest for guest in await self._guests.driver.instances()}
        orphans = [
            g for g in states.values() if g.instance_id not in records and self._idle(g.instance_id, began)
        ]
        await self._judge(orphans)
        differing = {}
        for record in records.values():
            if record.task_state or not self._idle(record.id, began):
                continue
            guest = states.get(record.id)
            state = guest.power_state if guest else POWER_STATE_UNSPECIFIED
            if starting and await self._revived(record, state):
                continue
            if state != record.power_state and record.host:
                differing[record.id] = state
        await self._reporter.report(differing)
        await self._kept.sweep(began)
        await self._evacuations.complete(
            {guest.instance_id for guest in await self._guests.driver.instances()}
        )

    def _idle(self, instance_id: str, began: float) -> bool:
        return self._work.idle_since(instance_id, began)

    async def _compare_for_ever(self) -> None:
        starting = True
        while True:
            self._wake.clear()
            try:
                await self.compare(starting=starting)
                starting = False
                pause = self._options.sync_power_state_interval
                if self._unclaimed or self._moving:
                    pause = min(
                        pause or self._options.unclaimed_guest_grace, self._options.unclaimed_guest_grace
                    )
            except Failure as failure:
                log.warning("guests not compared with records", why=failure.message, again_in=AGAIN)
                pause = AGAIN
            except Exception:
                # A mistake in one comparison must not be the end of all others.
                log.exception("guests not compared with records")
                pause = AGAIN
            try:
                await asyncio.wait_for(self._wake.wait(), pause or None)
            except TimeoutError:
                continue

    async def _records(self) -> dict[str, Instance]:
        """This host's instances, without their parts."""
        stub = InstanceServiceStub(self._node.channel("conductor"))
        records: dict[str, Instance] = {}
        token = ""
        while True:
            request = ListInstancesRequest(
                filter=InstanceFilter(host=self._node.identity.host),
                page_size=PAGE,
                page_token=token,
                brief=True,
            )
            answer = await stub.ListInstances(request)
            records.update((instance.id, instance) for instance in answer.instances)
            token = answer.next_page_token
            if not token:
                return records

    async def _judge(self, orphans: list[GuestState]) -> None:
        """Decide about guests that aren't among the records."""
        now = time.monotonic()
        unclaimed: dict[str, float] = {}
        self._moving = False
        for guest in orphans:
            why = await self._why_orphan(guest.instance_id)
            if why == "moving":
                self._moving = True
                continue
            if why == "unclaimed":
                since = self._unclaimed.get(guest.instance_id, now)
                if now - since < self._options.unclaimed_guest_grace:
                    unclaimed[guest.instance_id] = since
                    log.warning("guest without a record", instance=guest.instance_id)
                    continue
            if why:
                await self._end(guest, why)
        self._unclaimed = unclaimed

    async def _why_orphan(self, instance_id: str) -> str:
        """`deleted`, `elsewhere` or `unclaimed`; `moving` for one that an operation brings here or away,
        empty for a guest that is in order."""
        stub = InstanceServiceStub(self._node.channel("conductor"))
        try:
            answer = await stub.GetInstance(GetInstanceRequest(id=instance_id, read_deleted=True))
        except NotFoundError:
            return await whereabouts(self._node, instance_id)
        record = answer.instance
        if record.vm_state == VM_STATE_DELETED or record.HasField("deleted_at"):
            return "deleted"
        if record.host != self._node.identity.host and not record.task_state:
            return "elsewhere"
        return ""

    async def _end(self, guest: GuestState, why: str) -> None:
        action = self._options.running_deleted_instance_action
        if action == "noop":
            return
        log.warning("guest of no instance here", instance=guest.instance_id, why=why, action=action)
        instance = Instance(id=guest.instance_id)
        if action == "reap":

            async def reap() -> None:
                await self._guests.destroy(instance)
                await self._guests.unplug(guest.instance_id)
                self._reporter.forget(guest.instance_id)

            await self._work.run_last(guest.instance_id, WorkKey("reap"), reap)
        elif action == "shutdown" and guest.power_state == POWER_STATE_RUNNING:
            await self._guests.power_off(instance, 0)

    async def _revived(self, record: Instance, state: PowerState.ValueType) -> bool:
        """Start a guest again that should run and doesn't, where that is wanted. True when it runs now."""
        wanted = record.vm_state == VM_STATE_ACTIVE and record.power_state == POWER_STATE_RUNNING
        if not self._options.resume_guests_state_on_host_boot or not wanted:
            return False
        if state in (POWER_STATE_RUNNING, POWER_STATE_PAUSED):
            return False
        stub = InstanceServiceStub(self._node.channel("conductor"))
        try:
            whole = (await stub.GetInstance(GetInstanceRequest(id=record.id))).instance
            await self._work.run(record.id, WorkKey("revive"), lambda: self._guests.revive(whole))
        except Failure as failure:
            log.error("guest not started again", instance=record.id, why=failure.message)
            return False
        log.info("guest started again", instance=record.id)
        self._reporter.told(record.id, POWER_STATE_RUNNING)
        return True
