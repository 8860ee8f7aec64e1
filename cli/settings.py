"""The whole configuration: one frozen object, read once, whose sections the roles define."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from zlib import crc32

from cli.state import StateDirectory
from drivers.identity.embedded import EmbeddedOptions
from drivers.identity.keystone import KeystoneOptions
from drivers.image.glance import GlanceOptions
from drivers.image.local import LocalImageOptions
from drivers.network.linux import LinuxNetworkOptions
from drivers.virt.fake import FakeOptions
from drivers.virt.libvirt import LibvirtOptions, SpiceOptions, VncOptions
from gateway.identity.options import IdentityApiOptions
from gateway.image.options import ImageApiOptions
from gateway.metadata.options import MetadataApiOptions
from gateway.options import GatewayOptions
from services.cert.options import CertOptions
from services.compute.options import ComputeOptions
from services.conductor.options import ConductorOptions, QuotaOptions
from services.identity.options import IdentityOptions
from services.image.options import ImageOptions
from services.metadata.options import MetadataOptions
from services.network.options import NetworkOptions
from services.scheduler.options import SchedulerOptions


@dataclass(frozen=True)
class MeshOptions:
    """Section `[mesh]`: who this process is, and where each role answers."""

    cluster: str = "novamesh"
    """Name of the cloud, in every certificate of it."""
    host: str = field(default_factory=socket.gethostname)
    """Name of this host, in its certificates and in the Compute API."""
    conductor: str = "127.0.0.1:8780"
    """Where the conductor answers; several with commas between. It listens at the first, or where
    `serve --listen` says."""
    scheduler: str = "127.0.0.1:8781"
    """Where the scheduler answers."""
    compute: str = "127.0.0.1:8782"
    """Where this host's compute role listens; others learn it from the conductor."""
    network: str = "127.0.0.1:8783"
    """Where this host's network role listens; others learn it from the conductor."""
    metadata: str = "127.0.0.1:8784"
    """Where the metadata role answers."""
    identity: str = "127.0.0.1:8785"
    """Where the identity role answers."""
    image: str = "127.0.0.1:8786"
    """Where the image role answers."""
    cert: str = "127.0.0.1:8787"
    """Where the cert role answers."""
    metrics_listen: str = "127.0.0.1:8799"
    """Where this process shows its metrics to Prometheus; empty for nowhere."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log line that is written."""
    trace: bool = False
    """Record a span for each call. Needs an OpenTelemetry SDK around the process, for example
    `opentelemetry-instrument novamesh serve ...`, whose variables say where the spans go."""

    def addresses(self) -> dict[str, str]:
        """Role by role, where each answers."""
        roles = ("conductor", "scheduler", "compute", "network", "metadata", "identity", "image", "cert")
        return {role: getattr(self, role) for role in roles}


@dataclass(frozen=True)
class DatabaseSection:
    """Section `[database]`: the conductor's database."""

    connection: str
    """sqlite:///PATH, postgresql+psycopg://USER:PASSWORD@HOST/NAME or mysql+pymysql://USER:PASSWORD@HOST/NAME."""
    patience: float = 25.0
    """Seconds that a call waits for a database that is locked or away."""
    max_pool_size: int = 8
    """Connections (and threads) for PostgreSQL and MariaDB."""
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    """SQLite's durability: FULL survives a power cut, NORMAL only a crash of the process."""


@dataclass(frozen=True)
class DriversSection:
    """Section `[drivers]`: what stands behind the roles that have a choice."""

    compute: Literal["libvirt", "fake"] = "libvirt"
    """Hypervisor."""
    network: Literal["linux", "fake"] = "linux"
    """Host network."""
    identity: Literal["embedded", "keystone"] = "embedded"
    """Who knows the users."""
    image: Literal["local", "glance"] = "local"
    """Who keeps the images."""


@dataclass(frozen=True)
class Settings:
    """Every section."""

    mesh: MeshOptions
    database: DatabaseSection
    drivers: DriversSection
    conductor: ConductorOptions
    quota: QuotaOptions
    filter_scheduler: SchedulerOptions
    compute: ComputeOptions
    libvirt: LibvirtOptions
    vnc: VncOptions
    spice: SpiceOptions
    fake: FakeOptions
    network: NetworkOptions
    linux_network: LinuxNetworkOptions
    metadata: MetadataOptions
    metadata_api: MetadataApiOptions
    identity: IdentityOptions
    identity_embedded: EmbeddedOptions
    keystone: KeystoneOptions
    identity_api: IdentityApiOptions
    image: ImageOptions
    glance_store: LocalImageOptions
    glance: GlanceOptions
    image_api: ImageApiOptions
    api: GatewayOptions
    cert: CertOptions

    def ports(self) -> Iterator[tuple[str, str, int]]:
        """Every port that a whole cloud listens on: the option that moves it, the address, the port."""
        yield (
            "[api] osapi_compute_listen_port",
            self.api.osapi_compute_listen,
            self.api.osapi_compute_listen_port,
        )
        yield "[identity_api] bind_port", self.identity_api.bind_host, self.identity_api.bind_port
        yield "[image_api] bind_port", self.image_api.bind_host, self.image_api.bind_port
        metadata = self.metadata_api
        # The second address comes with the network role; a taken port shows on the first.
        yield (
            "[metadata_api] metadata_listen_port",
            metadata.metadata_listen[0],
            metadata.metadata_listen_port,
        )
        for role, address in self.mesh.addresses().items():
            host, _, port = address.partition(",")[0].rpartition(":")
            yield f"[mesh] {role}", host, int(port)
        if self.mesh.metrics_listen:
            host, _, port = self.mesh.metrics_listen.rpartition(":")
            yield "[mesh] metrics_listen", host, int(port)


def defaults(state: StateDirectory) -> Mapping[str, Mapping[str, Any]]:
    """What follows from the state directory, under everything that is configured."""
    return {
        "database": {"connection": state.database_url},
        "libvirt": {"instances_path": str(state.instances), "virt_type": "auto", "connection_uri": ""},
        # Not below the state directory: dnsmasq's unprivileged user couldn't enter that under /root, and
        # what is kept there speaks of the running kernel only.
        "linux_network": {"networks_path": f"/run/novamesh/{crc32(bytes(state.path)):08x}"},
        "identity_embedded": {"key_repository": state.path / "keys"},
        "glance_store": {"filesystem_store_datadir": state.images},
        "cert": {"ca_path": state.certificates},
    }


def derived(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """The URLs that follow from where the APIs listen, under those that are configured."""
    api, identity, image = settings.api, settings.identity_api, settings.image_api
    image_url = f"http://{image.bind_host}:{image.bind_port}"
    identity_url = f"http://{identity.bind_host}:{identity.bind_port}/v3"
    if settings.drivers.identity == "keystone":
        identity_url = settings.keystone.auth_url
    return {
        "identity_api": {
            "identity_url": identity_url,
            "compute_url": f"http://{api.osapi_compute_listen}:{api.osapi_compute_listen_port}/v2.1",
            "image_url": image_url,
        },
        "api": {"identity_url": identity_url, "glance_link_prefix": image.public_endpoint or image_url},
        "image_api": {"identity_url": identity_url},
    }
