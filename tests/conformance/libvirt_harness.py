"""A libvirtd and a bridge of the test's own, in a network namespace, and guests that boot on them."""

import asyncio
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree as ET

import libvirt

from drivers.testsuite import MemoryImages, wait_for
from drivers.virt import Console, Driver
from drivers.virt.libvirt import LibvirtOptions, PrivateLibvirtd
from drivers.virt.libvirt.driver import LibvirtDriver
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.network_pb2 import Network, VirtualInterface
from tests.conformance import tiny_guest
from tests.netns import need, own_namespace

BRIDGE = "nmtest0"
MIB = 1024**2

T = TypeVar("T")


@contextmanager
def own_libvirtd(folder: Path) -> Iterator[PrivateLibvirtd]:
    """A libvirtd that ends with the test, in a network namespace with a bridge, where the test is too."""
    with own_namespace():
        daemon = _started(folder)
        try:
            yield daemon
        finally:
            asyncio.run(daemon.stop())


@contextmanager
def distant_libvirtd(folder: Path) -> Iterator[PrivateLibvirtd]:
    """The same for a test that stays outside, as one must that uses gRPC.

    Threads that gRPC begins inside stay there when the test has left, and connect there for later tests.
    """
    with own_namespace():
        daemon = _started(folder)
    try:
        yield daemon
    finally:
        asyncio.run(daemon.stop())


def _started(folder: Path) -> PrivateLibvirtd:
    need("ip", "libvirtd", "virtlogd", "qemu-system-x86_64", "qemu-img", "genisoimage", "mkfs.ext4")
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
    # SPICE doesn't listen, not even on loopback, on a host that has no other address.
    subprocess.run(["ip", "address", "add", "192.0.2.1/24", "dev", BRIDGE], check=True)
    daemon = PrivateLibvirtd(folder)
    asyncio.run(daemon.start())
    return daemon


class LibvirtHarness:
    """Tiny guests under emulation, booted without a boot loader."""

    gaps: Mapping[str, str] = {}

    def __init__(self, daemon: PrivateLibvirtd, folder: Path) -> None:
        self.images = MemoryImages()
        self.options = LibvirtOptions(
            connection_uri=daemon.uri, virt_type="qemu", instances_path=str(folder / "instances")
        )
        self.daemon = daemon
        self._kernel = self.images.add(tiny_guest.kernel(), "aki")
        self._ramdisk = self.images.add(tiny_guest.initrd(), "ari")
        self._image = self.images.add(bytes(MIB), "ami")
        self._count = 0

    def make(self) -> Driver:
        return LibvirtDriver(self.options, self.images)

    def instance(self) -> Instance:
        self._count += 1
        identifier = str(uuid.uuid4())
        card = VirtualInterface(
            id=str(uuid.uuid4()),
            instance_id=identifier,
            network=Network(bridge=BRIDGE, mtu=1400),
            mac_address=f"fa:16:3e:00:00:{self._count:02x}",
            device=f"tap{identifier[:11]}",
        )
        return Instance(
            id=identifier,
            number=self._count,
            display_name=f"guest \x01 <{self._count}>",
            flavor=Flavor(name="m1.nano", vcpus=1, memory_mb=128, root_gb=1),
            image_id=self._image,
            kernel_id=self._kernel,
            ramdisk_id=self._ramdisk,
            interfaces=[card],
        )

    async def ready(self, driver: Driver, instance: Instance) -> None:
        await self.printed(driver, instance, b"GUEST-READY")

    async def printed(self, driver: Driver, instance: Instance, words: bytes) -> None:
        """Return when the guest has printed the words."""
        assert isinstance(driver, Console)
        console = driver

        async def seen() -> bool:
            return words in await console.console_output(instance.id)

        await wait_for(seen, f"guest prints {words!r}", timeout=120)

    async def end_guest(self, instance_id: str) -> None:
        await asyncio.to_thread(self._with_libvirt, lambda c: c.lookupByUUIDString(instance_id).destroy())

    async def forget_guest(self, instance_id: str) -> None:
        await asyncio.to_thread(self._with_libvirt, lambda c: c.lookupByUUIDString(instance_id).undefine())

    async def size(self, instance_id: str) -> tuple[int, int, int]:
        return await asyncio.to_thread(self._with_libvirt, lambda c: _size(c.lookupByUUIDString(instance_id)))

    async def leftovers(self, instance_id: str) -> list[str]:
        return await asyncio.to_thread(self._leftovers, instance_id)

    def _leftovers(self, instance_id: str) -> list[str]:
        files = [str(path) for path in Path(self.options.instances_path).glob(f"{instance_id}*")]
        saved = [str(path) for path in (self.daemon.state_dir / "lib/qemu/save").iterdir()]
        domains = self._with_libvirt(lambda connection: connection.listAllDomains())
        return [*files, *saved, *(domain.name() for domain in domains if domain.UUIDString() == instance_id)]

    def end_all(self) -> list[str]:
        """End what a test left, and name it."""

        def work(connection: Any) -> list[str]:
            left = connection.listAllDomains()
            for domain in left:
                if domain.isActive():
                    domain.destroy()
                domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
            return [domain.name() for domain in left]

        return self._with_libvirt(work)

    def _with_libvirt(self, work: Callable[[Any], T]) -> T:
        connection = libvirt.open(self.daemon.uri)
        try:
            return work(connection)
        finally:
            connection.close()


def _size(domain: Any) -> tuple[int, int, int]:
    definition = ET.fromstring(domain.XMLDesc())
    _, memory, _, vcpus, _ = domain.info()
    disk = definition.find("./devices/disk/target[@dev='vda']/../source")
    assert disk is not None
    # A guest that runs holds the lock of its disks.
    info = json.loads(
        subprocess.check_output(["qemu-img", "info", "-U", "--output=json", disk.get("file", "")])
    )
    return vcpus, memory // 1024, info["virtual-size"] // 1024**3
