"""What a new cloud begins with: flavors, a network, images. Seeding again changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.seed_images import ImageSeed, seed_image, seed_triple
from novamesh.conductor.v1.flavor_service_pb2 import CreateFlavorRequest
from novamesh.conductor.v1.flavor_service_pb2_grpc import FlavorServiceStub
from novamesh.conductor.v1.network_service_pb2 import CreateNetworkRequest
from novamesh.conductor.v1.network_service_pb2_grpc import NetworkServiceStub
from novamesh.failures import AlreadyExistsError
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.network_pb2 import Network, NetworkMode
from services.mesh import Node
from services.network.options import NetworkOptions

# Nova's own: name, VCPUs, MiB of memory, GiB of root disk. The ids are Nova's too.
FLAVORS = (
    ("m1.tiny", 1, 512, 1),
    ("m1.small", 1, 2048, 20),
    ("m1.medium", 2, 4096, 40),
    ("m1.large", 4, 8192, 80),
    ("m1.xlarge", 8, 16384, 160),
)


@dataclass(frozen=True)
class GuestImage:
    """The files that guest/build.py makes."""

    folder: Path

    def missing(self) -> Sequence[str]:
        """Names of the files that are not there."""
        return [
            name
            for name in ("kernel", "initrd", "root.ext4", "disk.qcow2")
            if not (self.folder / name).exists()
        ]


async def seed_flavors(node: Node) -> None:
    """m1.tiny to m1.xlarge."""
    stub = FlavorServiceStub(node.channel("conductor"))
    for number, (name, vcpus, memory_mb, root_gb) in enumerate(FLAVORS, 1):
        flavor = Flavor(
            id=str(number),
            name=name,
            vcpus=vcpus,
            memory_mb=memory_mb,
            root_gb=root_gb,
            rxtx_factor=1.0,
            is_public=True,
        )
        try:
            await stub.CreateFlavor(CreateFlavorRequest(request_id=f"seed-flavor-{number}", flavor=flavor))
        except AlreadyExistsError:
            continue


async def seed_network(node: Node, options: NetworkOptions) -> None:
    """The first network."""
    network = Network(
        label=options.network_label,
        mode=NetworkMode.NETWORK_MODE_FLAT_DHCP,
        cidr=options.fixed_range,
        bridge=options.flat_network_bridge,
        bridge_interface=options.flat_interface,
        host=node.identity.host,
    )
    try:
        await NetworkServiceStub(node.channel("conductor")).CreateNetwork(
            CreateNetworkRequest(request_id="seed-network", network=network)
        )
    except AlreadyExistsError:
        return


async def seed_guest_images(node: Node, guest: GuestImage) -> None:
    """`tiny`, which the driver boots with its kernel beside it, and `tiny-disk`, which boots by itself."""
    images = ImageServiceStub(node.channel("image"))
    tiny = ImageSeed("tiny", guest.folder / "root.ext4", "ami", min_ram_mb=64)
    await seed_triple(images, tiny, guest.folder / "kernel", guest.folder / "initrd")
    await seed_image(images, ImageSeed("tiny-disk", guest.folder / "disk.qcow2", "qcow2", min_ram_mb=64))
