"""A whole cloud in one process: what `novamesh up` runs."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from cli import schema
from cli.process import Process, Report, Site, StartError
from cli.roles import GATEWAY, ROLES
from cli.seed import GuestImage, seed_flavors, seed_guest_images, seed_network
from cli.settings import Settings
from cli.state import StateDirectory
from drivers.virt.libvirt.daemon import PrivateLibvirtd
from gateway.auth import Authenticator
from gateway.compute.app import build_compute_app
from gateway.identity.app import build_identity_app
from gateway.image.app import build_image_app
from gateway.metadata.app import build_metadata_app
from gateway.metadata.listeners import open_listeners
from novamesh.conductor.v1.host_service_pb2 import WatchHostsRequest
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.failures import Failure
from services.cert.provision import provision
from services.identity.seed import seed_identity
from services.mesh import Certificate, Node


def certificates(settings: Settings, state: StateDirectory) -> Mapping[str, Certificate]:
    """A certificate for each role on this host, and the administrator's beside them."""
    mesh, life = settings.mesh, timedelta(seconds=settings.cert.certificate_life)
    return provision(state.certificates, mesh.cluster, mesh.host, [*ROLES, GATEWAY], life)


# Seconds for the first compute host to register.
HOST_TIMEOUT = 60.0


class WholeCloud:
    """Every role, the APIs and a libvirtd of its own, in this process.

    The machine's own libvirt is left alone unless `[libvirt] connection_uri` names it.
    """

    def __init__(self, settings: Settings, state: StateDirectory, report: Report) -> None:
        self._state = state
        self._report = report
        self._process = Process(settings, certificates(settings, state), report)
        self._daemon = PrivateLibvirtd(state.libvirt)
        self._keeping: asyncio.Task[None] | None = None

    @property
    def settings(self) -> Settings:
        """The configuration, with what was found out at the start."""
        return self._process.settings

    async def start(self, guest: GuestImage) -> None:
        """Start all, in order; seed a new cloud. Raises StartError for a part that can't start.

        What was started before a failure is for `stop` to end.
        """
        await self._prepare()
        process = self._process
        await process.metrics()
        for name in ROLES:
            if name == "network":
                # The networks have to be in the records before the host is made as they say.
                await self._seed(guest)
            node = await process.role(name)
            if name == "metadata":
                await serve_metadata(process, node)
        gateway = await process.node(GATEWAY)
        await serve_apis(process, gateway)
        process.start_reports(gateway)
        await self._host_known()

    async def stop(self) -> None:
        """End all, and the guests with it; they run again after the next start."""
        await self._process.stop()

    async def _prepare(self) -> None:
        settings = self._process.settings
        try:
            before = schema.upgrade(settings.database.connection)
        except (OSError, schema.SchemaMismatchError) as error:
            raise StartError(f"database: {error}") from error
        self._report("database", f"schema {'made' if not before else 'at ' + schema.HEAD}")
        if settings.drivers.compute == "libvirt" and not settings.libvirt.connection_uri:
            # Before it starts: a start that is broken off may leave it half way.
            self._process.on_stop(self._daemon.stop)
            try:
                uri = await self._daemon.start()
            except Failure as failure:
                raise StartError(f"libvirt: {failure.message}") from failure
            self._keeping = asyncio.create_task(self._daemon.keep())
            self._process.on_stop(self._stop_keeping)
            libvirt = replace(settings.libvirt, connection_uri=uri)
            self._process.settings = replace(settings, libvirt=libvirt)
            self._report("libvirt", uri)

    async def _stop_keeping(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    async def _host_known(self) -> None:
        """Wait until the scheduler may place instances here.

        libvirt asks QEMU all that it can do before it tells anything of the host, which
        takes seconds, and keeps the answer in the state directory.
        """
        node = await self._administrator()
        stub = HostServiceStub(node.channel("conductor"))
        if self.settings.drivers.compute == "libvirt":
            text = "libvirt asks QEMU what it can do (seconds, the first time)"
            self._report("host", text, "wait")
        async with asyncio.timeout(HOST_TIMEOUT):
            async for change in stub.WatchHosts(WatchHostsRequest()):
                for host in change.hosts:
                    if host.name == self.settings.mesh.host and host.up:
                        has = host.inventory
                        text = f"{has.vcpus} VCPUs, {has.memory_mb} MiB, {has.disk_available_gb} GiB free"
                        self._report("host", f"{host.name}: {has.hypervisor_type}, {text}")
                        return

    async def _administrator(self) -> Node:
        return await self._process.administrator(Certificate.read(self._state.certificates, "admin"))

    async def _seed(self, guest: GuestImage) -> None:
        settings = self._process.settings
        node = await self._administrator()
        try:
            await seed_flavors(node)
            await seed_network(node, settings.network)
            if settings.drivers.identity == "embedded":
                await seed_identity(node, self._state.passwords())
            if settings.drivers.image == "local":
                await seed_guest_images(node, guest)
        except (Failure, OSError) as error:
            raise StartError(f"seeding: {error}") from error


async def serve_apis(process: Process, gateway: Node) -> None:
    """Serve the Compute API, and the Identity and Image APIs where these are not others' affair."""
    settings = process.settings
    authenticator = Authenticator(gateway)
    await authenticator.start()
    process.on_stop(authenticator.stop)
    if settings.drivers.identity == "embedded":
        identity = settings.identity_api
        app = build_identity_app(gateway, authenticator, identity)
        option = "[identity_api] bind_port"
        await process.site(Site("identity API", app, identity.bind_host, identity.bind_port, option))
    image = settings.image_api
    app = build_image_app(gateway, authenticator, image)
    option = "[image_api] bind_port"
    await process.site(Site("image API", app, image.bind_host, image.bind_port, option))
    api = settings.api
    app = build_compute_app(gateway, authenticator, api)
    host, port = api.osapi_compute_listen, api.osapi_compute_listen_port
    await process.site(Site("compute API", app, host, port, "[api] osapi_compute_listen_port"))


async def serve_metadata(process: Process, node: Node) -> None:
    """Answer guests, through the metadata role's own node."""
    options = process.settings.metadata_api
    try:
        listeners = open_listeners(options.metadata_listen, options.metadata_listen_port)
    except OSError as error:
        raise StartError(str(error.args[-1])) from error
    await process.site_on("metadata API", build_metadata_app(node, options), listeners)
