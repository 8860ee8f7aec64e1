"""Records of instances: accepted, read, listed, changed at once. Whatever takes longer is an operation."""

from collections.abc import AsyncIterator

from db import addresses, instance_queries, instances, interfaces, server_groups
from db.database import Connection, Database
from db.schema.base import now
from novamesh.conductor.v1.instance_service_pb2 import (
    CreateInstancesRequest,
    CreateInstancesResponse,
    GetInstanceByAddressRequest,
    GetInstanceByAddressResponse,
    GetInstanceRequest,
    GetInstanceResponse,
    InstanceFilter,
    ListInstancesRequest,
    ListInstancesResponse,
    LockInstanceRequest,
    LockInstanceResponse,
    ReportPowerStatesRequest,
    ReportPowerStatesResponse,
    ResetInstanceStateRequest,
    ResetInstanceStateResponse,
    UnlockInstanceRequest,
    UnlockInstanceResponse,
    UpdateInstanceRequest,
    UpdateInstanceResponse,
    WatchInstancesRequest,
    WatchInstancesResponse,
)
from novamesh.failures import InvalidArgumentError, NotFoundError, PermissionDeniedError
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import acceptance, callers, edits, limits, locks, states
from services.conductor.acceptance import Acceptance
from services.conductor.feed import Feeds
from services.conductor.ledger import Ledger
from services.conductor.limits import Owner
from services.conductor.options import ConductorOptions
from services.conductor.watching import follow
from services.mesh import Call

# Ids asked for in one statement while watching.
WATCH_PAGE = 500


class InstanceServicer:
    """Answers novamesh.conductor.v1.InstanceService."""

    def __init__(self, database: Database, options: ConductorOptions, ledger: Ledger, feeds: Feeds) -> None:
        self._database = database
        self._options = options
        self._ledger = ledger
        self._feeds = feeds
        self._quota = options.quota.by_resource()

    async def CreateInstances(self, request: CreateInstancesRequest, call: Call) -> CreateInstancesResponse:
        """Write the records and their operations, which begin at once."""
        owner = Owner(
            call.context.project_id or request.template.project_id,
            call.context.user_id or request.template.user_id,
        )
        asked = Acceptance(
            request,
            owner,
            now(),
            self._ledger.lease(),
            self._options.operation_attempts,
            self._quota,
            self._options.force_config_drive,
        )
        made = await self._database.write(lambda c: acceptance.accept(c, asked))
        if not made.repeated:
            if asked.lease is not None:
                self._ledger.take(made.works)
            else:
                self._ledger.wake()
            self._feeds.instances.touch([one.id for one in made.instances])
            self._feeds.operations.touch([work.operation.id for work in made.works])
        return CreateInstancesResponse(instances=made.instances)

    async def GetInstance(self, request: GetInstanceRequest, call: Call) -> GetInstanceResponse:
        """One instance."""

        def work(connection: Connection) -> Instance:
            instance = instances.get(connection, request.id)
            if request.project_id and instance.project_id != request.project_id:
                raise NotFoundError("instance", request.id)
            if instance.vm_state == states.DELETED and not request.read_deleted:
                raise NotFoundError("instance", request.id)
            callers.check_instance(call, instance)
            return server_groups.attach(connection, interfaces.attach(connection, instance))

        return GetInstanceResponse(instance=await self._database.read(work))

    async def GetInstanceByAddress(
        self, request: GetInstanceByAddressRequest, call: Call
    ) -> GetInstanceByAddressResponse:
        """The instance that holds an address."""

        def work(connection: Connection) -> Instance:
            holder = addresses.holder(connection, request.address, request.host)
            if not holder:
                raise NotFoundError("address", request.address)
            return interfaces.attach(connection, instances.get(connection, holder))

        return GetInstanceByAddressResponse(instance=await self._database.read(work))

    async def ListInstances(self, request: ListInstancesRequest, call: Call) -> ListInstancesResponse:
        """A page."""
        wanted = request
        host = callers.bound_host(call)
        if host and request.filter.host != host:
            wanted = ListInstancesRequest()
            wanted.CopyFrom(request)
            wanted.filter.host = host
        found, token = await self._database.read(lambda c: instance_queries.page(c, wanted))
        return ListInstancesResponse(instances=found, next_page_token=token)

    async def UpdateInstance(self, request: UpdateInstanceRequest, call: Call) -> UpdateInstanceResponse:
        """Change what needs nobody's work."""
        at = now()

        def work(connection: Connection) -> Instance:
            return edits.apply(connection, request, call.context, at, self._quota)

        instance = await self._database.write(work)
        self._feeds.instances.touch([instance.id])
        return UpdateInstanceResponse(instance=instance)

    async def LockInstance(self, request: LockInstanceRequest, call: Call) -> LockInstanceResponse:
        """Lock, and remember who did."""
        at, context = now(), call.context
        instance = await self._database.write(lambda c: locks.lock(c, request, context, at))
        self._feeds.instances.touch([instance.id])
        return LockInstanceResponse(instance=instance)

    async def UnlockInstance(self, request: UnlockInstanceRequest, call: Call) -> UnlockInstanceResponse:
        """Unlock, when the caller may."""
        at, context = now(), call.context
        instance = await self._database.write(lambda c: locks.unlock(c, request, context, at))
        self._feeds.instances.touch([instance.id])
        return UnlockInstanceResponse(instance=instance)

    async def ResetInstanceState(
        self, request: ResetInstanceStateRequest, call: Call
    ) -> ResetInstanceStateResponse:
        """Set the state by order of an administrator."""
        if request.vm_state not in (states.ACTIVE, states.ERROR):
            raise InvalidArgumentError(
                "vm_state", "An instance's state can be reset to active or error only."
            )
        at = now()

        def work(connection: Connection) -> Instance:
            instance = edits.lock_present(connection, request.id)
            if instance.vm_state == states.SOFT_DELETED and instance.task_state != states.RESTORE.task_state:
                owner = Owner(instance.project_id, instance.user_id)
                limits.take_again(connection, owner, instance.flavor)
            instance.ClearField("soft_deleted_at")
            instance.vm_state = request.vm_state
            instance.task_state = states.IDLE
            instances.save(connection, instance, at)
            return interfaces.attach(connection, instance)

        instance = await self._database.write(work)
        self._feeds.instances.touch([instance.id])
        return ResetInstanceStateResponse(instance=instance)

    async def ReportPowerStates(
        self, request: ReportPowerStatesRequest, call: Call
    ) -> ReportPowerStatesResponse:
        """Take what the hypervisor says."""
        at = now()
        host = call.peer.host

        def work(connection: Connection) -> tuple[list[str], list[str]]:
            said = {one.instance_id: one.power_state for one in request.states}
            changed, busy = [], []
            for instance in instances.lock_many(connection, list(said)).values():
                if instance.host != host:
                    raise PermissionDeniedError(call.method, f"Instance {instance.id} is not on host {host}.")
                power_state = said[instance.id]
                if instance.vm_state == states.DELETED or instance.power_state == power_state:
                    continue
                if instance.task_state != states.IDLE:
                    busy.append(instance.id)
                    continue
                instance.power_state = power_state
                instance.vm_state = states.BY_ITSELF.get((instance.vm_state, power_state), instance.vm_state)
                instances.save(connection, instance, at)
                changed.append(instance.id)
            return changed, busy

        changed, busy = await self._database.write(work)
        self._feeds.instances.touch(changed)
        return ReportPowerStatesResponse(busy_instance_ids=busy)

    async def WatchInstances(
        self, request: WatchInstancesRequest, call: Call
    ) -> AsyncIterator[WatchInstancesResponse]:
        """Everything that matches, then changes."""
        wanted = InstanceFilter()
        wanted.CopyFrom(request.filter)
        host = callers.bound_host(call)
        if host:
            wanted.host = host
        sent: dict[str, int] = {}
        feed = self._feeds.instances
        async for step in follow(feed, request.revision, self._options.watch_interval):
            if step.ids is None:
                sent.clear()
                async for instance in self._matching(wanted):
                    sent[instance.id] = instance.generation
                    yield WatchInstancesResponse(revision=step.before, instance=instance)
                yield WatchInstancesResponse(revision=step.revision, snapshot_end=True)
                continue
            held: Instance | None = None
            for start in range(0, len(step.ids), WATCH_PAGE):
                for instance in await self._changed(step.ids[start : start + WATCH_PAGE], wanted, sent):
                    if held is not None:
                        yield WatchInstancesResponse(revision=step.before, instance=held)
                    held = instance
            if held is not None:
                yield WatchInstancesResponse(revision=step.revision, instance=held)

    async def _matching(self, wanted: InstanceFilter) -> AsyncIterator[Instance]:
        token = ""
        while True:
            request = ListInstancesRequest(filter=wanted, page_token=token)
            found, token = await self._database.read(lambda c: instance_queries.page(c, request))  # noqa: B023
            for instance in found:
                yield instance
            if not token:
                return

    async def _changed(self, ids: list[str], wanted: InstanceFilter, sent: dict[str, int]) -> list[Instance]:
        """Those of these that the watcher hasn't seen as they are; one that no longer matches, once more."""

        def work(connection: Connection) -> tuple[dict[str, Instance], set[str]]:
            found = instances.get_many(connection, ids)
            interfaces.attach_many(connection, list(found.values()))
            return found, instance_queries.matching(connection, ids, wanted)

        found, matching = await self._database.read(work)
        news = []
        for instance in found.values():
            if instance.id in matching:
                if sent.get(instance.id) != instance.generation:
                    sent[instance.id] = instance.generation
                    news.append(instance)
            elif sent.pop(instance.id, None) is not None:
                news.append(instance)
        return news
