"""Compute hosts: what they have, what is claimed on them, whether they are alive."""

from collections.abc import AsyncIterator
from datetime import datetime

from db import hosts, leases
from db.database import Connection, Database
from db.hosts import Heartbeat
from db.schema.base import now
from novamesh.conductor.v1.host_service_pb2 import (
    DeleteHostRequest,
    DeleteHostResponse,
    GetHostRequest,
    GetHostResponse,
    ListHostsRequest,
    ListHostsResponse,
    RegisterHostRequest,
    RegisterHostResponse,
    ReportHostRequest,
    ReportHostResponse,
    UpdateHostRequest,
    UpdateHostResponse,
    WatchHostsRequest,
    WatchHostsResponse,
)
from novamesh.types.v1.host_pb2 import Host
from services.conductor import callers
from services.conductor.feed import Feeds
from services.conductor.heartbeats import Heartbeats
from services.conductor.ledger import Ledger
from services.conductor.options import ConductorOptions
from services.conductor.watching import follow
from services.mesh import Call

# Begins the reason of a host that is disabled because its hypervisor is away; the words are Nova's.
AUTO = "AUTO: "
# Hosts in one message to a watcher.
WATCH_BATCH = 500


class HostServicer:
    """Answers novamesh.conductor.v1.HostService."""

    def __init__(
        self,
        database: Database,
        options: ConductorOptions,
        ledger: Ledger,
        feeds: Feeds,
        heartbeats: Heartbeats,
    ) -> None:
        self._database = database
        self._options = options
        self._ledger = ledger
        self._feeds = feeds
        self._heartbeats = heartbeats

    async def RegisterHost(self, request: RegisterHostRequest, call: Call) -> RegisterHostResponse:
        """Take a host in, or what it has now; what waits for it is due."""
        callers.check_host(call, request.name)
        at = now()
        zone = self._options.default_availability_zone

        def work(connection: Connection) -> Host:
            leases.hurry(connection, request.name, at)
            return hosts.register(connection, request, zone, at)

        host = await self._database.write(work)
        self._feeds.hosts.touch([host.name])
        self._ledger.wake()
        return RegisterHostResponse(host=host)

    async def ReportHost(self, request: ReportHostRequest, call: Call) -> ReportHostResponse:
        """A heartbeat, written with the others of this second."""
        callers.check_host(call, request.name)
        up_since = self._up_since()
        host = await self._database.read(lambda c: hosts.get(c, request.name, up_since))
        await self._take_in_or_out(host, request.unavailable_reason)
        beat = Heartbeat(request.name, now(), request.disk_available_gb, request.uptime)
        if host.up or host.forced_down:
            self._heartbeats.host(beat)
        else:
            await self._welcome(beat)
        return ReportHostResponse()

    async def GetHost(self, request: GetHostRequest, call: Call) -> GetHostResponse:
        """One host."""
        up_since = self._up_since()

        def work(connection: Connection) -> list[Host]:
            if request.name:
                found = hosts.get(connection, request.name, up_since)
            else:
                found = hosts.get_by_id(connection, request.id, up_since)
            return hosts.with_workload(connection, [found])

        [host] = await self._database.read(work)
        return GetHostResponse(host=host)

    async def ListHosts(self, request: ListHostsRequest, call: Call) -> ListHostsResponse:
        """All hosts."""
        up_since = self._up_since()

        def work(connection: Connection) -> list[Host]:
            return hosts.with_workload(connection, hosts.everyone(connection, up_since))

        return ListHostsResponse(hosts=await self._database.read(work))

    async def UpdateHost(self, request: UpdateHostRequest, call: Call) -> UpdateHostResponse:
        """What an administrator changes."""
        change = hosts.Change(request.host, list(request.update_mask), now(), self._up_since())

        def work(connection: Connection) -> Host:
            if "forced_down" in change.mask and not change.host.forced_down:
                leases.hurry(connection, change.host.name, change.at)
            return hosts.change(connection, change)

        host = await self._database.write(work)
        self._feeds.hosts.touch([host.name])
        self._ledger.wake()
        return UpdateHostResponse(host=host)

    async def DeleteHost(self, request: DeleteHostRequest, call: Call) -> DeleteHostResponse:
        """Forget an empty host."""
        await self._database.write(lambda c: hosts.remove(c, request.name))
        self._feeds.hosts.touch([request.name])
        return DeleteHostResponse()

    async def WatchHosts(self, request: WatchHostsRequest, call: Call) -> AsyncIterator[WatchHostsResponse]:
        """Every host, then changes. One that has not changed in any way that counts is not sent twice."""
        sent: dict[str, tuple[int, bool, int]] = {}
        async for step in follow(self._feeds.hosts, request.revision, self._options.watch_interval):
            up_since = self._up_since()
            names = step.ids
            found = await self._database.read(lambda c: _watched(c, names, up_since))  # noqa: B023
            if names is None:
                gone = sent.keys() - {host.name for host in found}
                sent.clear()
            else:
                gone = set(names) - {host.name for host in found}
            news = [host for host in found if sent.get(host.name) != _likeness(host)]
            sent.update({host.name: _likeness(host) for host in news})
            for name in gone:
                sent.pop(name, None)
            batches = [news[i : i + WATCH_BATCH] for i in range(0, len(news), WATCH_BATCH)] or [[]]
            for index, batch in enumerate(batches):
                last = index == len(batches) - 1
                if batch or (last and (gone or names is None)):
                    yield WatchHostsResponse(
                        revision=step.revision if last else step.before,
                        hosts=batch,
                        removed=sorted(gone) if last else (),
                        snapshot_end=last and names is None,
                    )

    async def _welcome(self, beat: Heartbeat) -> None:
        """The first heartbeat after a silence is written at once, and what waits for the host is due."""

        def work(connection: Connection) -> None:
            leases.hurry(connection, beat.name, beat.at)
            hosts.report(connection, [beat])

        await self._database.write(work)
        self._feeds.hosts.touch([beat.name])
        self._ledger.wake()

    async def _take_in_or_out(self, host: Host, reason: str) -> None:
        """Disable a host whose hypervisor is away, and enable it when it is back."""
        if reason and host.enabled:
            wanted = Host(name=host.name, enabled=False, disabled_reason=(AUTO + reason)[:255])
        elif not reason and not host.enabled and host.disabled_reason.startswith(AUTO):
            wanted = Host(name=host.name, enabled=True)
        else:
            return
        change = hosts.Change(wanted, ["enabled", "disabled_reason"], now(), self._up_since())
        await self._database.write(lambda c: hosts.change(c, change))
        self._feeds.hosts.touch([host.name])

    def _up_since(self) -> datetime:
        return self._heartbeats.hearing.up_since(now())


def _watched(connection: Connection, names: list[str] | None, up_since: datetime) -> list[Host]:
    if names is None:
        return hosts.with_workload(connection, hosts.everyone(connection, up_since))
    return hosts.with_workload(connection, hosts.get_many(connection, names, up_since))


def _likeness(host: Host) -> tuple[int, bool, int]:
    """What a watcher has to hear of when it changes."""
    return host.generation, host.up, host.usage.workload
