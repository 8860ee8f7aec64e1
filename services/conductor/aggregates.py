"""Host aggregates, and the rules of availability zones: a host is in one, and stays in it while instances are
on it. The refusals are Nova's."""

from collections.abc import Callable, Sequence
from datetime import datetime

from db import aggregates
from db.aggregates import ZONE, HostPlace
from db.database import Connection, Database
from db.schema.base import now
from novamesh.conductor.v1.aggregate_service_pb2 import (
    AddAggregateHostRequest,
    AddAggregateHostResponse,
    CacheAggregateImagesRequest,
    CacheAggregateImagesResponse,
    CreateAggregateRequest,
    CreateAggregateResponse,
    DeleteAggregateRequest,
    DeleteAggregateResponse,
    GetAggregateRequest,
    GetAggregateResponse,
    ListAggregatesRequest,
    ListAggregatesResponse,
    RemoveAggregateHostRequest,
    RemoveAggregateHostResponse,
    SetAggregateMetadataRequest,
    SetAggregateMetadataResponse,
    UpdateAggregateRequest,
    UpdateAggregateResponse,
)
from novamesh.failures import (
    AlreadyExistsError,
    GenerationConflictError,
    InvalidArgumentError,
    NotFoundError,
)
from novamesh.types.v1.aggregate_pb2 import Aggregate
from services.conductor.feed import Feeds
from services.conductor.image_caching import ImageCaching
from services.conductor.options import ConductorOptions
from services.mesh import Call

UPDATABLE = ("name", ZONE)


class AggregateServicer:
    """Answers novamesh.conductor.v1.AggregateService."""

    def __init__(
        self, database: Database, options: ConductorOptions, feeds: Feeds, caching: ImageCaching
    ) -> None:
        self._database = database
        self._default_zone = options.default_availability_zone
        self._feeds = feeds
        self._caching = caching

    async def CreateAggregate(self, request: CreateAggregateRequest, call: Call) -> CreateAggregateResponse:
        """Make one."""
        wanted = Aggregate(
            name=_named(request.aggregate),
            availability_zone=request.aggregate.availability_zone,
            metadata=request.aggregate.metadata,
        )
        _take_zone(wanted)
        at = now()
        return CreateAggregateResponse(
            aggregate=await self._database.write(lambda c: aggregates.add(c, wanted, at))
        )

    async def GetAggregate(self, request: GetAggregateRequest, call: Call) -> GetAggregateResponse:
        """One aggregate."""
        return GetAggregateResponse(
            aggregate=await self._database.read(lambda c: aggregates.get(c, request.number))
        )

    async def ListAggregates(self, request: ListAggregatesRequest, call: Call) -> ListAggregatesResponse:
        """All of them."""
        return ListAggregatesResponse(aggregates=await self._database.read(aggregates.everyone))

    async def UpdateAggregate(self, request: UpdateAggregateRequest, call: Call) -> UpdateAggregateResponse:
        """Another name or zone."""
        wanted, mask, at = request.aggregate, set(request.update_mask), now()
        for field in mask.difference(UPDATABLE):
            raise InvalidArgumentError("update_mask", f"{field} of an aggregate can't be changed.")

        def work(connection: Connection) -> Aggregate:
            old = aggregates.get(connection, wanted.number, lock=True)
            if wanted.generation and wanted.generation != old.generation:
                raise GenerationConflictError("aggregate", str(old.number), wanted.generation, old.generation)
            refusal = f"Cannot update aggregate {old.number}."
            if ZONE in mask:
                check_zone(connection, old, wanted.availability_zone, refusal)
                old.availability_zone = wanted.availability_zone
            if "name" in mask:
                old.name = _named(wanted)
            return self._save(connection, old, at) if ZONE in mask else aggregates.save(connection, old, at)

        return UpdateAggregateResponse(aggregate=await self._change(work))

    async def DeleteAggregate(self, request: DeleteAggregateRequest, call: Call) -> DeleteAggregateResponse:
        """Remove an empty one."""
        await self._database.write(lambda c: aggregates.remove(c, request.number))
        return DeleteAggregateResponse()

    async def AddAggregateHost(
        self, request: AddAggregateHostRequest, call: Call
    ) -> AddAggregateHostResponse:
        """Put a host in."""

        def work(connection: Connection) -> Aggregate:
            aggregate = aggregates.get(connection, request.number, lock=True)
            found = aggregates.lock_hosts(connection, [request.host])
            if not found:
                raise NotFoundError("host", request.host, f"Compute host {request.host} could not be found.")
            if request.host in aggregate.hosts:
                raise AlreadyExistsError(
                    "aggregate_host",
                    request.host,
                    f"Aggregate {request.number} already has host {request.host}.",
                )
            refusal = f"Cannot add host to aggregate {request.number}."
            if aggregate.availability_zone:
                _refuse_others(connection, aggregate, found, aggregate.availability_zone, refusal)
                _refuse_move(found, aggregate.availability_zone, refusal)
            changed = aggregates.put_host(connection, request.number, request.host)
            aggregates.derive(connection, [request.host], self._default_zone)
            return changed

        return AddAggregateHostResponse(aggregate=await self._change(work, request.host))

    async def RemoveAggregateHost(
        self, request: RemoveAggregateHostRequest, call: Call
    ) -> RemoveAggregateHostResponse:
        """Take a host out."""

        def work(connection: Connection) -> Aggregate:
            aggregate = aggregates.get(connection, request.number, lock=True)
            if request.host not in aggregate.hosts:
                raise NotFoundError(
                    "aggregate_host",
                    request.host,
                    f"Aggregate {request.number} has no host {request.host}.",
                )
            found = aggregates.lock_hosts(connection, [request.host])
            others = aggregates.zones(connection, [request.host], aggregate.number)
            left = next(iter(others), self._default_zone)
            _refuse_move(found, left, f"Cannot remove host from aggregate {request.number}.")
            changed = aggregates.take_host(connection, request.number, request.host)
            aggregates.derive(connection, [request.host], self._default_zone)
            return changed

        return RemoveAggregateHostResponse(aggregate=await self._change(work, request.host))

    async def SetAggregateMetadata(
        self, request: SetAggregateMetadataRequest, call: Call
    ) -> SetAggregateMetadataResponse:
        """Set and remove keys."""
        at = now()

        def work(connection: Connection) -> Aggregate:
            old = aggregates.get(connection, request.number, lock=True)
            if ZONE in request.metadata or ZONE in request.removed:
                refusal = f"Cannot update metadata of aggregate {old.number}."
                check_zone(connection, old, request.metadata.get(ZONE, ""), refusal)
            for key in request.removed:
                old.metadata.pop(key, None)
            old.metadata.update(request.metadata)
            _take_zone(old)
            return self._save(connection, old, at)

        return SetAggregateMetadataResponse(aggregate=await self._change(work))

    async def CacheAggregateImages(
        self, request: CacheAggregateImagesRequest, call: Call
    ) -> CacheAggregateImagesResponse:
        """Begin to fetch images into the caches of its hosts."""
        aggregate = await self._database.read(lambda c: aggregates.get(c, request.number))
        self._caching.begin(aggregate.hosts, request.image_ids)
        return CacheAggregateImagesResponse()

    def _save(self, connection: Connection, aggregate: Aggregate, at: datetime) -> Aggregate:
        aggregates.lock_hosts(connection, aggregate.hosts)
        changed = aggregates.save(connection, aggregate, at)
        aggregates.derive(connection, aggregate.hosts, self._default_zone)
        return changed

    async def _change(self, work: Callable[[Connection], Aggregate], host: str = "") -> Aggregate:
        """Write, and tell those who watch the hosts concerned."""
        changed = await self._database.write(work)
        self._feeds.hosts.touch([host] if host else changed.hosts)
        return changed


def check_zone(connection: Connection, aggregate: Aggregate, zone: str, refusal: str) -> None:
    """Whether an aggregate that is locked may be that zone from now on.

    Raises InvalidArgumentError (availability_zone), whose message begins with `refusal`.
    """
    if not zone:
        why = f"Aggregate {aggregate.name} does not support empty named availability zone"
        raise InvalidArgumentError(ZONE, f"{refusal} Reason: {why}.")
    found = aggregates.lock_hosts(connection, aggregate.hosts)
    _refuse_others(connection, aggregate, found, zone, refusal)
    if zone != aggregate.availability_zone and any(host.instances for host in found):
        raise InvalidArgumentError(
            ZONE, f"{refusal} Reason: One or more hosts contain instances in this zone."
        )


def _refuse_others(
    connection: Connection, aggregate: Aggregate, found: Sequence[HostPlace], zone: str, refusal: str
) -> None:
    names = [host.name for host in found]
    others = sorted(aggregates.zones(connection, names, aggregate.number) - {zone})
    if others:
        why = f"One or more hosts already in availability zone(s) {others}"
        raise InvalidArgumentError(ZONE, f"{refusal} Reason: {why}.")


def _refuse_move(found: Sequence[HostPlace], zone: str, refusal: str) -> None:
    if any(host.instances and host.availability_zone != zone for host in found):
        why = "One or more hosts contain instances, which would move to another availability zone"
        raise InvalidArgumentError(ZONE, f"{refusal} Reason: {why}.")


def _named(aggregate: Aggregate) -> str:
    name = aggregate.name.strip()
    if not name or len(name) > 255:
        raise InvalidArgumentError("name", "An aggregate needs a name of 1 to 255 characters.")
    return name


def _take_zone(aggregate: Aggregate) -> None:
    """The zone has a field of its own, whichever way it was given."""
    zone = aggregate.metadata.pop(ZONE, "")
    if zone:
        aggregate.availability_zone = zone
