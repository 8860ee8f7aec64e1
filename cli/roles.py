"""Each role put together from its options and drivers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pkgutil import resolve_name

from cli.settings import Settings
from db.connect import connect
from db.database import DatabaseOptions
from drivers.identity import IdentityDriver
from drivers.identity.embedded import EmbeddedIdentity
from drivers.identity.keystone import KeystoneIdentity
from drivers.image import ImageDriver
from drivers.image.glance import GlanceImageDriver
from drivers.image.local import LocalImageDriver
from drivers.network import NetworkDriver
from drivers.network.fake import FakeNetworkDriver
from drivers.virt import Driver
from drivers.virt.fake import FakeDriver
from novamesh.conductor.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from novamesh.conductor.v1.image_member_service_pb2_grpc import ImageMemberServiceStub
from novamesh.conductor.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.conductor.v1.revocation_service_pb2_grpc import RevocationServiceStub
from services.cert.role import CertRole
from services.compute.images import MeshImages
from services.compute.role import ComputeRole
from services.conductor.role import ConductorRole
from services.identity.role import IdentityRole
from services.image.role import ImageRole
from services.mesh import Node, Role
from services.metadata.role import MetadataRole
from services.network.role import NetworkRole
from services.scheduler.role import SchedulerRole

Maker = Callable[[Settings, Node], Role]

# Imported where they are configured: their libraries are 20 MiB, and a tenth of a second of the start.
LIBVIRT = "drivers.virt.libvirt.driver:LibvirtDriver"
LINUX_NETWORK = "drivers.network.linux.driver:LinuxNetworkDriver"


def conductor(settings: Settings, node: Node) -> Role:
    """The conductor, with its database."""
    section = settings.database
    options = DatabaseOptions(section.patience, section.max_pool_size, section.synchronous)
    database = connect(section.connection, options)
    return ConductorRole(node, replace(settings.conductor, quota=settings.quota), database)


def scheduler(settings: Settings, node: Node) -> Role:
    """The scheduler."""
    return SchedulerRole(node, settings.filter_scheduler)


def compute(settings: Settings, node: Node) -> Role:
    """A compute host."""
    images = MeshImages(node)
    driver: Driver
    if settings.drivers.compute == "fake":
        driver = FakeDriver(replace(settings.fake, hypervisor_hostname=node.identity.host), images)
    else:
        # Empty means a libvirtd of one's own, which only `up` starts.
        uri = settings.libvirt.connection_uri or "qemu:///system"
        options = replace(settings.libvirt, connection_uri=uri, vnc=settings.vnc, spice=settings.spice)
        driver = resolve_name(LIBVIRT)(options, images)
    network_address = settings.compute.network_address or settings.mesh.network
    return ComputeRole(node, replace(settings.compute, network_address=network_address), driver)


def network(settings: Settings, node: Node) -> Role:
    """A host's network."""
    driver: NetworkDriver
    if settings.drivers.network == "fake":
        driver = FakeNetworkDriver()
    else:
        host = settings.linux_network.host or node.identity.host
        driver = resolve_name(LINUX_NETWORK)(replace(settings.linux_network, host=host))
    return NetworkRole(node, settings.network, driver)


def metadata(settings: Settings, node: Node) -> Role:
    """What guests may know of themselves."""
    return MetadataRole(node, settings.metadata)


def identity(settings: Settings, node: Node) -> Role:
    """Who users are."""
    driver: IdentityDriver
    if settings.drivers.identity == "keystone":
        driver = KeystoneIdentity(settings.keystone)
    else:
        channel = node.channel("conductor")
        driver = EmbeddedIdentity(
            settings.identity_embedded, AuthenticationServiceStub(channel), RevocationServiceStub(channel)
        )
    return IdentityRole(node, settings.identity, driver)


def image(settings: Settings, node: Node) -> Role:
    """Images."""
    driver: ImageDriver
    if settings.drivers.image == "glance":
        driver = GlanceImageDriver(settings.glance)
    else:
        channel = node.channel("conductor")
        driver = LocalImageDriver(
            settings.glance_store, ImageServiceStub(channel), ImageMemberServiceStub(channel)
        )
    return ImageRole(node, settings.image, driver)


def cert(settings: Settings, node: Node) -> Role:
    """The certificate authority."""
    return CertRole(node, settings.cert)


# In the order in which a whole cloud starts: each after those that it needs to be ready.
ROLES: Mapping[str, Maker] = {
    "cert": cert,
    "conductor": conductor,
    "scheduler": scheduler,
    "identity": identity,
    "image": image,
    "metadata": metadata,
    "network": network,
    "compute": compute,
}
GATEWAY = "gateway"
