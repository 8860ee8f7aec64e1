"""One process of a cloud: roles and web applications, started in order and stopped in reverse."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Protocol

import structlog
from aiohttp import web
from opentelemetry import trace

from cli.roles import ROLES
from cli.settings import Settings
from novamesh.conductor.v1.node_service_pb2 import ReportNodeRequest
from novamesh.conductor.v1.node_service_pb2_grpc import NodeServiceStub
from novamesh.failures import Failure
from services.mesh import Certificate, Neighbours, Node, NodeOptions
from services.mesh.metrics_listener import MetricsListener
from services.mesh.renewal import RenewByCert

log = structlog.get_logger("novamesh.process")


class Report(Protocol):
    """Told of each part as it becomes ready: what it is, and where."""

    def __call__(self, name: str, place: str, state: str = "ready") -> None:
        """`state` is one word: ready, wait."""
        ...


VERSION = version("novamesh")
WEB_SHUTDOWN = 2.0
# Connections that may wait to be taken up; the client of one more tries again after a whole second.
WEB_BACKLOG = 2048


class StartError(Exception):
    """A part that could not start; the message says which, why, and where it can which option moves it."""


@dataclass(frozen=True)
class Site:
    """A web application and where it listens. `option` moves its port."""

    name: str
    application: web.Application
    host: str
    port: int
    option: str


class Process:
    """Runs parts of a cloud. Roles of one process reach each other in memory."""

    def __init__(self, settings: Settings, certificates: Mapping[str, Certificate], report: Report) -> None:
        self.settings = settings
        self._certificates = certificates
        self._report = report
        self._neighbours = Neighbours()
        self._stops: list[Callable[[], Awaitable[object]]] = []
        self._reports: asyncio.Task[None] | None = None
        self._served: list[tuple[Node, str, str]] = []

    def on_stop(self, stop: Callable[[], Awaitable[object]]) -> None:
        """Do this at the end, before what was started earlier ends."""
        self._stops.append(stop)

    async def node(self, role: str) -> Node:
        """A running node certified for a role, which renews its certificate by itself.

        Raises StartError when the certificate has ended: nobody would talk to it, cert included.
        """
        certificate = self._certificates[role]
        if certificate.ended():
            path, ended = self.settings.cert.ca_path / f"{role}.pem", certificate.not_after
            raise StartError(
                f"the certificate {path} ended at {ended:%Y-%m-%d %H:%M} UTC: `novamesh ca create` makes "
                "another on the host that has the CA, `novamesh host join` with a new token on others"
            )
        tracer = trace.get_tracer("novamesh", VERSION) if self.settings.mesh.trace else None
        options = NodeOptions(tracer=tracer, renew=RenewByCert(self.settings.cert.ca_path, role))
        node = Node(certificate, self.settings.mesh.addresses(), self._neighbours, options)
        await node.start()
        self.on_stop(node.stop)
        return node

    async def administrator(self, certificate: Certificate) -> Node:
        """A running node certified as administrator, for seeding."""
        node = Node(certificate, self.settings.mesh.addresses(), self._neighbours)
        await node.start()
        self.on_stop(node.stop)
        return node

    async def role(self, name: str, address: str = "") -> Node:
        """Start a role, at its configured address unless another is given. Raises StartError."""
        address = address or self.settings.mesh.addresses()[name].partition(",")[0]
        node = await self.node(name)
        try:
            bound = await node.add(ROLES[name](self.settings, node), address)
        except Failure as failure:
            raise StartError(f"{name}: {failure.message}") from failure
        except (OSError, RuntimeError, ValueError) as error:
            raise StartError(f"{name} at {address}: {error} ([mesh] {name} moves it)") from error
        self._report(name, bound)
        self._served.append((node, name, bound))
        return node

    async def site(self, site: Site) -> None:
        """Serve a web application. Raises StartError when the port is taken."""
        try:
            make = partial(web.TCPSite, host=site.host, port=site.port, backlog=WEB_BACKLOG)
            await self._serve(site.name, site.application, make)
        except OSError as error:
            text = f"{site.name}: {site.host}:{site.port} can't be used: {os.strerror(error.errno or 0)}"
            raise StartError(f"{text} ({site.option} moves it)") from error

    async def site_on(
        self, name: str, application: web.Application, listeners: Sequence[socket.socket]
    ) -> None:
        """Serve a web application on sockets that listen already."""
        await self._serve(
            name,
            application,
            *(partial(web.SockSite, sock=listener, backlog=WEB_BACKLOG) for listener in listeners),
        )

    async def _serve(
        self, name: str, application: web.Application, *makers: Callable[[web.AppRunner], web.BaseSite]
    ) -> None:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=WEB_SHUTDOWN)
        await runner.setup()
        self.on_stop(runner.cleanup)
        for maker in makers:
            await maker(runner).start()
        self._report(name, ", ".join(f"http://{host}:{port}" for host, port, *_ in runner.addresses))

    async def metrics(self) -> None:
        """Show metrics, where that is configured. Raises StartError when the port is taken."""
        address = self.settings.mesh.metrics_listen
        if not address:
            return
        listener = MetricsListener(address)
        try:
            bound = await listener.start()
        except OSError as error:
            raise StartError(
                f"metrics at {address}: {error.strerror} ([mesh] metrics_listen moves it)"
            ) from error
        self.on_stop(listener.stop)
        self._report("metrics", f"http://{bound}/metrics")

    def start_reports(self, gateway: Node | None = None) -> None:
        """Tell the conductor, now and every few seconds, which roles run here."""
        served = [*self._served, *([(gateway, "gateway", "")] if gateway else [])]
        self._reports = asyncio.create_task(self._keep_reporting(served))
        self.on_stop(self._stop_reports)

    async def stop(self) -> None:
        """Stop everything, the last started first; a part that fails at it does not keep the others back."""
        while self._stops:
            stop = self._stops.pop()
            try:
                await stop()
            except Exception:
                log.exception("a part did not stop cleanly")

    async def _stop_reports(self) -> None:
        if self._reports:
            self._reports.cancel()
            await asyncio.wait([self._reports])

    async def _keep_reporting(self, served: list[tuple[Node, str, str]]) -> None:
        while True:
            for node, role, address in served:
                request = ReportNodeRequest(
                    role=role, host=node.identity.host, address=address, version=VERSION
                )
                try:
                    await NodeServiceStub(node.channel("conductor")).ReportNode(request, timeout=5)
                except Failure as failure:
                    log.debug("conductor did not take the report", role=role, error=failure.message)
            await asyncio.sleep(self.settings.conductor.report_interval)
