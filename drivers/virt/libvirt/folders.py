"""Guests' folders: disks, kernel and console log of one guest each, below instances_path.

    <instances_path>/<instance id>/disk          root: overlay, or copy
                                   base          hard link to the cached image below the overlay
                                   disk.eph0 ... ephemeral disks
                                   disk.swap     swap
                                   disk.config   config drive
                                   kernel, ramdisk
                                   disk.rescue  while rescued, with base.rescue, kernel.rescue, ramdisk.rescue
                                   console.log   serial console

Each file is made as `<name>.part` and renamed when whole, and one that is there
is left alone, so that making a folder twice, or again after a crash, changes nothing.
"""

import asyncio
import os
import shutil
import stat
import uuid
from pathlib import Path

from drivers.virt.config_drive import make_config_drive
from drivers.virt.image_cache import CachedImage, ImageCache
from drivers.virt.libvirt.domain import RESCUE, GuestDisk, plan_disks
from drivers.virt.libvirt.options import LibvirtOptions
from drivers.virt.protocols import Boot
from drivers.virt.qemu_img import QemuImg, disk_failure
from novamesh.failures import DriverFailureError, InvalidArgumentError, NotSupportedError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import RescueArguments

_REMOVED = ".removed"


class GuestFolders:
    """All guests' folders of this host."""

    def __init__(self, options: LibvirtOptions, cache: ImageCache, qemu_img: QemuImg) -> None:
        self.root = Path(options.instances_path).absolute()
        self._options = options
        self._cache = cache
        self._qemu_img = qemu_img

    async def start(self) -> None:
        """Make the folder of folders; finish removals that a crash cut short."""
        await asyncio.to_thread(self._sweep)
        await self._cache.start()

    def folder(self, instance_id: str) -> Path:
        """A guest's folder, there or not. Raises InvalidArgumentError for what is no UUID."""
        try:
            return self.root / str(uuid.UUID(instance_id))
        except ValueError:
            raise InvalidArgumentError("id", f"{instance_id!r} is not an instance's id.") from None

    async def make(self, instance: Instance, boot: Boot) -> None:
        """Make what is missing of a guest's files.

        Raises ImageUnacceptableError, ResourceExhaustedError("disk"), NotSupportedError("volumes"),
        DriverFailureError, and what the image source raises.
        """
        folder = self.folder(instance.id)
        if not instance.image_id:
            raise NotSupportedError("volumes", "This host's driver can't boot from a volume yet.")
        disks = plan_disks(instance, self._options, bool(boot.config_drive))
        try:
            folder.mkdir(mode=0o711, exist_ok=True)
            for image_id, name in ((instance.kernel_id, "kernel"), (instance.ramdisk_id, "ramdisk")):
                if image_id and not (folder / name).exists():
                    _link(await self._cache.fetch(image_id, None, boot.progress), folder / name)
            for disk in disks:
                path = folder / disk.file
                if not path.exists():
                    part = folder / f"{disk.file}.part"
                    part.unlink(missing_ok=True)
                    await self._make_disk(disk, part, instance, boot)
                    part.replace(path)
        except OSError as error:
            raise disk_failure("libvirt", "make the disks", error) from error

    def files(self, instance: Instance) -> tuple[tuple[GuestDisk, ...], frozenset[str]]:
        """Disks of a guest that was made earlier, and the names of all files in its folder.

        Raises DriverFailureError when its root disk is gone: nothing could bring the data back.
        """
        folder = self.folder(instance.id)
        try:
            names = frozenset(os.listdir(folder))
        except FileNotFoundError:
            names = frozenset()
        disks = plan_disks(instance, self._options, "disk.config" in names)
        if disks[0].file not in names:
            raise DriverFailureError("libvirt", "find the disk", f"The root disk of {instance.id} is gone.")
        return disks, names

    async def fetch(self, instance: Instance, boot: Boot) -> None:
        """Have the images that `make` will need in the cache. Raises what `make` raises for them."""
        if not instance.image_id:
            raise NotSupportedError("volumes", "This host's driver can't boot from a volume yet.")
        root = plan_disks(instance, self._options, False)[0]
        await self._cache.fetch(instance.image_id, root.size or None, boot.progress)
        for image_id in filter(None, (instance.kernel_id, instance.ramdisk_id)):
            await self._cache.fetch(image_id, None, boot.progress)

    async def clear(self, instance_id: str, *, keep_ephemeral: bool) -> None:
        """Remove a guest's files, but not its folder, nor for `keep_ephemeral` its ephemeral disks."""
        await asyncio.to_thread(_clear, self.folder(instance_id), "disk.eph" if keep_ephemeral else "")

    async def make_rescue(self, instance: Instance, rescue: RescueArguments, boot: Boot) -> None:
        """Make the files of a rescue, in place of those of an earlier one. Raises what `make` raises."""
        folder = self.folder(instance.id)
        disk = GuestDisk("rescue", "disk" + RESCUE, self._options.images_type, "", "")
        base = await self._cache.fetch(rescue.image_id, None, boot.progress)
        try:
            await asyncio.to_thread(_drop_rescue, folder)
            for image_id, name in ((rescue.kernel_id, "kernel"), (rescue.ramdisk_id, "ramdisk")):
                if image_id:
                    image = await self._cache.fetch(image_id, None, boot.progress)
                    _link(image, folder / (name + RESCUE))
            boot.progress("making disks", 0)
            part = folder / f"{disk.file}.part"
            part.unlink(missing_ok=True)
            await self._make_root(disk, part, base)
            part.replace(folder / disk.file)
        except OSError as error:
            raise disk_failure("libvirt", "make the rescue disk", error) from error

    async def drop_rescue(self, instance_id: str) -> None:
        """Remove the files of a rescue, if there are any."""
        await asyncio.to_thread(_drop_rescue, self.folder(instance_id))

    async def remove(self, instance_id: str) -> None:
        """Remove a guest's folder and all in it, if it is there."""
        await self.remove_folder(self.folder(instance_id))

    async def remove_folder(self, folder: Path) -> None:
        """Remove a folder below this one, if it is there."""
        # Renamed first: a removal that a crash cuts short mustn't leave what looks like a guest.
        removed = folder.with_name(folder.name + _REMOVED)
        await asyncio.to_thread(_remove, folder, removed)

    async def cache_image(self, image_id: str) -> bool:
        """Have the image in the cache; True when it was fetched now."""
        return await self._cache.precache(image_id)

    async def remove_unused_images(self) -> list[str]:
        """Remove cached images that have had no guest for long; return their ids."""
        return await self._cache.remove_unused(self._options.remove_unused_original_minimum_age_seconds)

    def only_root_reaches(self, instance_id: str) -> bool:
        """True when some folder on the way lets no other user through, as in a home directory."""
        folder = self.folder(instance_id)
        return not all(os.stat(parent).st_mode & stat.S_IXOTH for parent in (folder, *folder.parents))

    async def _make_disk(self, disk: GuestDisk, part: Path, instance: Instance, boot: Boot) -> None:
        if disk.kind == "root":
            base = await self._cache.fetch(instance.image_id, disk.size or None, boot.progress)
            boot.progress("making disks", 0)
            await self._make_root(disk, part, base)
        elif disk.kind == "ephemeral":
            await self._qemu_img.make_ext4(part, disk.size, disk.file.replace("disk.eph", "ephemeral"))
        elif disk.kind == "swap":
            await self._qemu_img.make_swap(part, disk.size)
        else:
            await make_config_drive(self._qemu_img, boot.config_drive, part)

    async def _make_root(self, disk: GuestDisk, part: Path, base: CachedImage) -> None:
        size = disk.size or base.virtual_size
        if disk.disk_format == "qcow2":
            link = part.with_name(disk.file.replace("disk", "base"))
            _link(base, link)
            await self._qemu_img.create_overlay(link, base.disk_format, part, size)
            return
        await self._qemu_img.convert(base.path, base.disk_format, part, "raw")
        await self._qemu_img.grow(part, "raw", size)

    def _sweep(self) -> None:
        # Guests' disks are nobody else's to list; QEMU may run as another user and has to get through.
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        for path in self.root.glob("*" + _REMOVED):
            shutil.rmtree(path)


def _link(image: CachedImage, path: Path) -> None:
    """Put a cached image into a guest's folder, in place of what a crash may have left."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    os.link(image.path, part)
    part.replace(path)


def _clear(folder: Path, kept: str) -> None:
    for path in list(folder.iterdir()) if folder.exists() else ():
        if not (kept and path.name.startswith(kept)):
            path.unlink()


def _drop_rescue(folder: Path) -> None:
    for path in list(folder.glob(f"*{RESCUE}")):
        path.unlink()


def _remove(folder: Path, removed: Path) -> None:
    if folder.exists():
        shutil.rmtree(removed, ignore_errors=True)
        folder.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)
