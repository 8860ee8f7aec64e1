"""What the gateway knows of the compute hosts, for a second or two at a time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway.options import GatewayOptions
from novamesh.conductor.v1.host_service_pb2 import ListHostsRequest
from novamesh.failures import NotFoundError
from novamesh.types.v1.host_pb2 import Host

if TYPE_CHECKING:
    from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceAsyncStub


class HostDirectory:
    """The hosts by name. Requests that come while it is being refreshed share one call."""

    def __init__(self, records: HostServiceAsyncStub, options: GatewayOptions) -> None:
        self._records = records
        self._options = options
        self._hosts: dict[str, Host] = {}
        self._read_at = float("-inf")
        self._refresh = asyncio.Lock()

    async def all(self, *, fresh: bool = False) -> dict[str, Host]:
        """The hosts by name, in the order of their number; `fresh` asks the conductor now."""
        asked_at = time.monotonic()
        if not fresh and asked_at - self._read_at < self._options.host_cache_seconds:
            return self._hosts
        async with self._refresh:
            if self._read_at < asked_at:
                answer = await self._records.ListHosts(ListHostsRequest(), timeout=self._options.rpc_timeout)
                self._hosts = {host.name: host for host in answer.hosts}
                self._read_at = time.monotonic()
        return self._hosts

    async def get(self, name: str) -> Host:
        """One host by name. Raises NotFoundError."""
        hosts = await self.all()
        if name not in hosts:
            hosts = await self.all(fresh=True)
        if name not in hosts:
            raise NotFoundError("host", name, f"Compute host {name} could not be found.")
        return hosts[name]


def service_number(host: Host) -> int:
    """The integer id of this host's compute service, up to 2.52: odd, as other services' are even."""
    return 2 * host.number - 1


def status_of(host: Host | None) -> str:
    """`host_status` of the servers on this host, as microversion 2.16 names it."""
    if host is None:
        return "UNKNOWN"
    if host.forced_down:
        return "DOWN"
    if not host.enabled:
        return "MAINTENANCE"
    return "UP" if host.up else "UNKNOWN"
