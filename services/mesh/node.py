"""A node: one identity, the roles it serves and the channels it calls through.

A process that runs several roles has a node for each, so that every call keeps
the caller's own name and the policy holds. Nodes that share a `Neighbours`
reach each other in memory.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import count
from time import monotonic

import grpc
import grpc.aio
import structlog
from opentelemetry.trace import Tracer

from novamesh.failures import Failure, UnavailableError
from services.mesh import metrics
from services.mesh.binding import Binding, Role
from services.mesh.certificates import Certificate, now
from services.mesh.chain import Chain, methods_of
from services.mesh.channel import MeshChannel
from services.mesh.identity import Peer
from services.mesh.local import Neighbours, Served
from services.mesh.policy import POLICY, Policy
from services.mesh.server import Age, Server
from services.mesh.standard import HealthServicer, standard_bindings

log = structlog.get_logger("novamesh.mesh")

# Makes a new certificate for a node: given the node, so that it can call the cert role.
Renewer = Callable[["Node"], Awaitable[Certificate]]


@dataclass(frozen=True)
class NodeOptions:
    """What a node needs beside its certificate and addresses."""

    policy: Policy = field(default_factory=lambda: POLICY)
    tracer: Tracer | None = None
    # None: the certificate is not renewed by this process.
    renew: Renewer | None = None
    # Seconds: how soon to try again when a renewal failed; sooner when the certificate is about to end.
    renew_again: float = 60.0
    age: Age = field(default_factory=Age)
    # Seconds that calls under way get when the node stops.
    grace: float = 2.0


class _Destination:
    """A role by name, or an address with the role, and maybe the host, expected there."""

    def __init__(self, node: "Node", role: str, address: str = "", host: str = "") -> None:
        self._node = node
        self._address = address
        self.role = role
        self.part = f"{role} at {address}" if address else role
        self._host = host
        expected = Peer(node.identity.cluster, role, host)
        self.expected_name = expected.host_name if host else expected.role_name

    def local(self) -> Served | None:
        neighbours = self._node.neighbours
        if neighbours is None:
            return None
        if not self._address:
            return neighbours.by_role(self.role)
        served = neighbours.by_address(self._address)
        # What TLS checks on the wire.
        if served is not None and (
            served.identity.role != self.role or self._host not in ("", served.identity.host)
        ):
            raise UnavailableError(
                self.part, f"{self.part} is not there: {served.identity.spiffe_id} answers there."
            )
        return served

    def address(self) -> str:
        address = self._address or self._node.addresses.get(self.role, "")
        if not address:
            raise UnavailableError(
                self.role, f"No address is configured for the role {self.role}, and it does not run here."
            )
        return target_of(address)


def target_of(address: str) -> str:
    """gRPC's name of an address: `host:port`, a list `1.2.3.4:5,1.2.3.5:5`, or a target such as `dns:///name:5`."""
    if "," not in address:
        return address
    if ":///" in address or address.startswith(("ipv4:", "ipv6:")):
        return address
    several = [part.strip() for part in address.split(",")]
    try:
        versions = {ip_address(part.rpartition(":")[0].strip("[]")).version for part in several}
    except ValueError:
        versions = set()
    if len(versions) != 1:
        raise ValueError(
            f"several addresses must be IP addresses of one version, {address!r} are not; "
            "for names use one dns:///name:port that resolves to all"
        )
    return f"ipv{versions.pop()}:{','.join(several)}"


@dataclass
class _Place:
    """A role as it is served here."""

    role: Role
    server: Server
    served: Served
    health: HealthServicer
    services: Sequence[str]
    started: bool = False


class Node:
    """See the module. `addresses` maps a role to where it answers; it may change while the node runs."""

    def __init__(
        self,
        certificate: Certificate,
        addresses: Mapping[str, str],
        neighbours: Neighbours | None = None,
        options: NodeOptions | None = None,
    ) -> None:
        self.certificate = certificate
        self.addresses = addresses
        self.neighbours = neighbours
        self.options = options or NodeOptions()
        self._channels: dict[tuple[str, str, str], MeshChannel] = {}
        self._places: list[_Place] = []
        self._open: list[Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False

    @property
    def identity(self) -> Peer:
        """Who this node is, by its certificate."""
        return self.certificate.peer

    @property
    def policy(self) -> Policy:
        """Who may call what."""
        return self.options.policy

    @property
    def traced(self) -> bool:
        """Whether spans are recorded here."""
        return self.options.tracer is not None

    @property
    def address(self) -> str:
        """Where the first role served here answers; empty when there is none."""
        return self._places[0].served.address if self._places else ""

    def channel(self, target: str) -> grpc.aio.Channel:
        """The channel to a role by name; made once. Where the role is, is looked up when it is called."""
        return self._channel(target)

    def channel_to(self, address: str, role: str, host: str = "") -> grpc.aio.Channel:
        """The channel to `role` at `host:port` (or `dns:///...`); made once.

        The server must show a certificate for the role, and for `host` where it is given.
        """
        return self._channel(role, address, host)

    def _channel(self, role: str, address: str = "", host: str = "") -> MeshChannel:
        key = (role, address, host)
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = MeshChannel(self, _Destination(self, role, address, host))
        return channel

    async def add(self, role: Role, address: str) -> str:
        """Serve a role at `host:port`; returns the address with the port that was bound.

        A node that runs already starts the role at once. Raises OSError when the
        address is taken, and what the role's own start raises.
        """
        if role.name != self.identity.role:
            raise ValueError(f"a node certified as {self.identity.role} can't serve {role.name}")
        chain = Chain(self.policy, self.options.tracer)
        bindings = list(role.bindings())
        services = [binding.service.full_name for binding in bindings]
        health = HealthServicer()
        methods = methods_of([*bindings, *standard_bindings(self.identity, services, health)], chain)
        server = Server(self.identity.cluster, methods, self._age())
        bound = server.listen(address, self._server_credentials())
        place = _Place(role, server, Served(self.identity, bound, methods), health, services)
        self._places.append(place)
        if self._running:
            await self._start_place(place)
        return bound

    async def add_open(self, bindings: Sequence[Binding], address: str) -> str:
        """Serve bindings to callers without a certificate (TLS only), at once; returns the bound address.

        Such callers have the role `stranger`, which the policy must name. For joining.
        """
        methods = methods_of(list(bindings), Chain(self.policy))
        server = Server(self.identity.cluster, methods, self._age())
        credentials = self._server_credentials(strangers=True)
        bound = server.listen(address, credentials, strangers=True)
        self._open.append(server)
        await server.start()
        return bound

    async def start(self) -> None:
        """Start every role added so far, in order, and the renewal of the certificate."""
        self._running = True
        self._show_certificate()
        if self.options.renew is not None:
            self._spawn(self._keep_certificate(self.options.renew))
        for place in self._places:
            await self._start_place(place)

    async def stop(self) -> None:
        """Stop every role, last first, then the channels."""
        self._running = False
        for server in self._open:
            await server.stop(0)
        self._open.clear()
        for place in reversed(self._places):
            place.health.set(place.services, serving=False)
            if self.neighbours is not None:
                self.neighbours.remove(place.served)
            await place.server.stop(self.options.grace)
            if place.started:
                await place.role.stop()
        self._places.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels.values():
            await channel.close()

    def retire(self, channel: grpc.aio.Channel) -> None:
        """Close a connection whose certificate was renewed, once its calls are done or too old."""
        self._spawn(channel.close(self.options.age.grace))

    def adopt(self, certificate: Certificate) -> None:
        """Use another certificate from now on: servers at the next handshake, channels at the next call."""
        if certificate.peer != self.identity:
            raise ValueError(f"{certificate.peer.spiffe_id} is not {self.identity.spiffe_id}")
        self.certificate = certificate
        self._show_certificate()
        log.info(
            "certificate renewed",
            identity=self.identity.spiffe_id,
            until=certificate.not_after.isoformat(timespec="seconds"),
        )

    async def _start_place(self, place: _Place) -> None:
        await place.role.start()
        place.started = True
        if self.neighbours is not None:
            self.neighbours.add(place.served)
        await place.server.start()
        place.health.set(place.services, serving=True)
        log.info("role ready", role=place.role.name, address=place.served.address)

    def _age(self) -> Age:
        """How long connections live: well under the certificate's life, whatever is configured."""
        life = (self.certificate.not_after - self.certificate.not_before).total_seconds()
        return replace(self.options.age, most=min(self.options.age.most, max(1.0, life / 4)))

    def _server_credentials(self, *, strangers: bool = False) -> grpc.ServerCredentials:
        """Credentials that show the certificate the node has at each handshake."""
        shown = self.certificate

        # Called in gRPC's threads, at every handshake. Only for a new certificate does it answer: for each
        # answer gRPC replaces what other handshakes are just using, without a lock, and crashes in the end.
        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            if shown is self.certificate:
                return None
            shown = self.certificate
            return shown.server_configuration()

        return grpc.dynamic_ssl_server_credentials(
            shown.server_configuration(),
            fetch,  # type: ignore[arg-type]  # None means unchanged; the stubs don't know
            require_client_authentication=not strangers,
        )

    async def _keep_certificate(self, renew: Renewer) -> None:
        for attempt in count(1):
            wait = (self.certificate.renew_at() - now()).total_seconds()
            if wait > 0:
                # A clock that is set, or a machine that slept, is noticed within the hour.
                await asyncio.sleep(min(wait, 3600.0))
                continue
            began = monotonic()
            try:
                self.adopt(await renew(self))
            except (Failure, OSError, ValueError) as error:
                metrics.RENEWALS.labels(self.identity.role, "failed").inc()
                log.warning(
                    "certificate not renewed",
                    reason=str(error),
                    attempt=attempt,
                    until=str(self.certificate.not_after),
                )
                await asyncio.sleep(min(self.options.renew_again, max(1.0, self._life_left() / 10)))
            else:
                metrics.RENEWALS.labels(self.identity.role, "renewed").inc()
                log.debug("renewal took", seconds=monotonic() - began)
                # A certificate that is old when it arrives (a clock that is wrong) mustn't make this spin.
                await asyncio.sleep(1.0)

    def _life_left(self) -> float:
        return (self.certificate.not_after - now()).total_seconds()

    def _show_certificate(self) -> None:
        end = self.certificate.not_after.timestamp()
        metrics.CERTIFICATE_END.labels(self.identity.role, self.identity.host).set(end)

    def _spawn(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
