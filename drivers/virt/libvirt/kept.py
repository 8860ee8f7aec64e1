"""Guests' folders as they were before a resize, kept until it is confirmed or reverted.

    <instances_path>/<instance id>_resize/            the folder as it was
                                          migration   id of the migration that it is kept for

Putting a folder aside and taking it up again is one rename each, so a crash leaves the one or the other.
"""

import asyncio
import os
import shutil
from pathlib import Path

from drivers.virt.libvirt.domain import GuestDisk, plan_disks
from drivers.virt.libvirt.folders import GuestFolders
from drivers.virt.libvirt.options import LibvirtOptions
from drivers.virt.qemu_img import QemuImg, disk_failure
from novamesh.failures import NotFoundError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import Instance

_SUFFIX = "_resize"
_MARKER = "migration"
# Both folders may have them: they are never written again or, the log, by whichever guest runs.
_SHARED = ("base", "kernel", "ramdisk", "console.log")


class KeptFolders:
    """The folders that are kept aside on this host."""

    def __init__(self, options: LibvirtOptions, folders: GuestFolders, qemu_img: QemuImg) -> None:
        self._options = options
        self._folders = folders
        self._qemu_img = qemu_img

    def folder(self, instance_id: str) -> Path:
        """Where a guest is kept, whether it is or not. Raises InvalidArgumentError for what is no UUID."""
        folder = self._folders.folder(instance_id)
        return folder.with_name(folder.name + _SUFFIX)

    async def guests(self) -> list[str]:
        """Ids of the guests that are kept."""
        return await asyncio.to_thread(
            lambda: sorted(p.name.removesuffix(_SUFFIX) for p in self._folders.root.glob("*" + _SUFFIX))
        )

    async def migration(self, instance_id: str) -> str:
        """For which migration a guest is kept; empty for one that isn't."""
        return await asyncio.to_thread(_marked, self.folder(instance_id))

    async def fits(self, instance: Instance, flavor: Flavor) -> bool:
        """True when no disk of a guest, which isn't kept, has to shrink for a flavor.

        Raises NotFoundError when it has no folder.
        """
        folder = self._folders.folder(instance.id)
        if not await asyncio.to_thread(folder.exists):
            raise NotFoundError("instance", instance.id)
        disks, names = self._folders.files(instance)
        planned = {disk.file: disk for disk in self._plan(instance, flavor, "disk.config" in names)}
        for disk in disks:
            if disk.kind not in ("root", "ephemeral"):
                continue
            wanted = planned.get(disk.file)
            if wanted is None:
                return False
            found = await self._qemu_img.info(folder / disk.file, disk.disk_format, in_use=True)
            if wanted.size and wanted.size < found.virtual_size:
                return False
        return True

    async def put_aside(self, instance_id: str, migration_id: str) -> None:
        """Keep a guest's folder for a migration. Raises NotFoundError when there is none."""
        await asyncio.to_thread(self._put_aside, instance_id, migration_id)

    async def take_up(self, instance_id: str) -> None:
        """Put what is kept in the place of the guest's folder."""
        await self._folders.remove(instance_id)
        await asyncio.to_thread(self._take_up, instance_id)

    async def mend(self, instance_id: str) -> None:
        """Take up what is kept of a guest that has nothing else: its resize and the way back both failed."""
        if await asyncio.to_thread(self._is_all_there_is, instance_id):
            await self.take_up(instance_id)

    async def remove(self, instance_id: str) -> None:
        """Remove what is kept of a guest, if anything is."""
        await self._folders.remove_folder(self.folder(instance_id))

    async def make(self, instance: Instance) -> None:
        """Make what is missing of the folder of a guest in its new size, of what is kept.

        Raises ResourceExhaustedError("disk"), DriverFailureError.
        """
        kept, folder = self.folder(instance.id), self._folders.folder(instance.id)
        try:
            names = await asyncio.to_thread(_share, kept, folder)
            for disk in self._plan(instance, instance.flavor, "disk.config" in names):
                path = folder / disk.file
                if not await asyncio.to_thread(path.exists):
                    part = folder / f"{disk.file}.part"
                    await asyncio.to_thread(part.unlink, missing_ok=True)
                    await self._make_disk(disk, kept, part, names)
                    await asyncio.to_thread(part.replace, path)
        except OSError as error:
            raise disk_failure("libvirt", "make the disks", error) from error

    async def _make_disk(self, disk: GuestDisk, kept: Path, part: Path, names: frozenset[str]) -> None:
        if disk.kind == "swap":
            await self._qemu_img.make_swap(part, disk.size)
        elif disk.kind == "ephemeral" and disk.file not in names:
            await self._qemu_img.make_ext4(part, disk.size, disk.file.replace("disk.eph", "ephemeral"))
        else:
            await self._qemu_img.copy(kept / disk.file, part)
            # The size of a flavor without one is the disk's own.
            if disk.kind != "config" and disk.size:
                await self._qemu_img.grow(part, disk.disk_format, disk.size)

    def _plan(self, instance: Instance, flavor: Flavor, config_drive: bool) -> tuple[GuestDisk, ...]:
        resized = Instance()
        resized.CopyFrom(instance)
        resized.flavor.CopyFrom(flavor)
        return plan_disks(resized, self._options, config_drive)

    def _put_aside(self, instance_id: str, migration_id: str) -> None:
        folder, kept = self._folders.folder(instance_id), self.folder(instance_id)
        if kept.exists():
            if _marked(kept) == migration_id:
                return
            # Left by an earlier migration, which somebody has ended by force.
            if not (folder / "disk").exists():
                shutil.rmtree(folder, ignore_errors=True)
                _mark(kept, migration_id)
                return
            shutil.rmtree(kept)
        if not folder.exists():
            raise NotFoundError("instance", instance_id)
        _mark(folder, migration_id)
        folder.rename(kept)

    def _is_all_there_is(self, instance_id: str) -> bool:
        rooted = (self._folders.folder(instance_id) / "disk").exists()
        return not rooted and self.folder(instance_id).exists()

    def _take_up(self, instance_id: str) -> None:
        folder, kept = self._folders.folder(instance_id), self.folder(instance_id)
        if kept.exists():
            kept.rename(folder)
        (folder / _MARKER).unlink(missing_ok=True)


def _marked(kept: Path) -> str:
    try:
        return (kept / _MARKER).read_text()
    except FileNotFoundError:
        return ""


def _mark(folder: Path, migration_id: str) -> None:
    part = folder / f"{_MARKER}.part"
    part.write_text(migration_id)
    part.replace(folder / _MARKER)


def _share(kept: Path, folder: Path) -> frozenset[str]:
    """Make the folder with the files that both may have. Returns the names of all that is kept."""
    folder.mkdir(mode=0o711, exist_ok=True)
    names = frozenset(os.listdir(kept))
    for name in _SHARED:
        if name in names and not (folder / name).exists():
            os.link(kept / name, folder / name)
    return names
