"""The libvirt driver: real guests, by KVM or by QEMU's emulation."""

import asyncio

import structlog

from drivers.virt.libvirt.agent import LibvirtGuestAgent, LibvirtNmi
from drivers.virt.libvirt.console import LibvirtConsole
from drivers.virt.libvirt.diagnostics import LibvirtGuestDiagnostics
from drivers.virt.libvirt.host import LibvirtHost
from drivers.virt.libvirt.inventory import LibvirtInventory
from drivers.virt.libvirt.kvm_probe import probe_kvm
from drivers.virt.libvirt.lifecycle import LibvirtSuspend
from drivers.virt.libvirt.options import LibvirtOptions
from drivers.virt.libvirt.rebuild import LibvirtRebuild, LibvirtRescue
from drivers.virt.libvirt.resize import LibvirtResize
from drivers.virt.libvirt.snapshots import LibvirtSnapshots
from drivers.virt.protocols import ImageSource
from novamesh.failures import UnavailableError

_log = structlog.get_logger("novamesh.libvirt")


class LibvirtDriver(
    LibvirtResize,
    LibvirtSuspend,
    LibvirtSnapshots,
    LibvirtConsole,
    LibvirtInventory,
    LibvirtRebuild,
    LibvirtRescue,
    LibvirtGuestAgent,
    LibvirtNmi,
    LibvirtGuestDiagnostics,
):
    """Guests on one libvirtd, their images from `images`."""

    name = "libvirt"

    def __init__(self, options: LibvirtOptions, images: ImageSource) -> None:
        self.host = LibvirtHost(options, images)

    async def start(self) -> None:
        """Choose kvm or qemu, connect to libvirtd, finish removals that a crash cut short.

        Raises UnavailableError: "kvm" when it was asked for and a virtual processor
        doesn't run here, "libvirt" when libvirtd doesn't answer.
        """
        self.host.virt_type = await _virt_type(self.host.options)
        await self.host.open()

    async def stop(self) -> None:
        """Let go of libvirtd; guests run on."""
        await self.host.close()

    async def cache_image(self, image_id: str) -> bool:
        """Have the image in the cache before a guest needs it; True when it was fetched now."""
        return await self.host.folders.cache_image(image_id)

    async def remove_unused_images(self) -> list[str]:
        """Remove cached images that no guest has used for long; call it now and then. Returns their ids."""
        return await self.host.folders.remove_unused_images()


async def _virt_type(options: LibvirtOptions) -> str:
    if options.virt_type == "qemu":
        return "qemu"
    probe = await asyncio.to_thread(probe_kvm)
    if probe.usable:
        return "kvm"
    if options.virt_type == "kvm":
        raise UnavailableError(
            "kvm", f"KVM can't be used: {probe.reason}. [libvirt] virt_type = qemu emulates instead, slowly."
        )
    _log.warning("emulating guests, which is slow", why=probe.reason)
    return "qemu"
