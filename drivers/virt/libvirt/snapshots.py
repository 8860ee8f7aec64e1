"""Snapshots of libvirt's guests: the root disk in one file of the guest's folder, flattened.

A guest that runs, or is paused, is copied by QEMU's backup job: the copy is the disk at the moment in which
the job began, whatever the guest writes meanwhile, and needs no other file. The disk of any other guest is
converted as it lies there.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import structlog

from drivers.virt.libvirt.api import libvirt
from drivers.virt.libvirt.domain import GuestDisk
from drivers.virt.libvirt.host import LibvirtHost, find, find_or_none, state_of
from drivers.virt.protocols import Progress, Snapshot, no_progress
from drivers.virt.qemu_img import disk_failure
from novamesh.failures import DriverFailureError, NotFoundError, NotSupportedError
from novamesh.types.v1.instance_pb2 import POWER_STATE_PAUSED, POWER_STATE_RUNNING, Instance

_log = structlog.get_logger("novamesh.libvirt")

_ACTIVE = (POWER_STATE_RUNNING, POWER_STATE_PAUSED)
_TRUE = frozenset({"true", "yes", "on", "1"})
CHUNK = 1 << 20
# Seconds between looks at a backup job, at first and at last.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
# How often one is looked for that can't be looked at now.
_LOOKS = 50
# Seconds that QEMU gets to end one.
_ABORT_TIMEOUT = 10.0
# Seconds in which a guest whose backup failed may turn out to have been ended.
_END_TIMEOUT = 5.0
# Begins the names of the files, which end with the snapshot's.
PREFIX = "snapshot."


class LibvirtSnapshots:
    """The Protocol Snapshots."""

    host: LibvirtHost

    async def take_snapshot(
        self, instance: Instance, snapshot_id: str, progress: Progress = no_progress
    ) -> Snapshot:
        """Copy the root disk into `snapshot.<snapshot_id>` in the guest's folder."""
        async with self.host.lock(instance.id):
            await self.host.connection.call("look for the guest", partial(find, instance_id=instance.id))
            disks, _ = self.host.folders.files(instance)
            disk_format = self.host.options.snapshot_image_format or disks[0].disk_format
            path = self._path(instance.id, snapshot_id)
            if not path.exists():
                progress("taking snapshot", 0)
                await self._clear(instance.id)
                part = path.with_name(path.name + ".part")
                try:
                    await self._take(instance, disks, part, disk_format, progress)
                    await asyncio.to_thread(_keep, part, path)
                except OSError as error:
                    raise disk_failure("libvirt", "take the snapshot", error) from error
                except BaseException:
                    await self._clear(instance.id)
                    raise
            return Snapshot(path.stat().st_size, disk_format, "bare")

    async def read_snapshot(self, instance: Instance, snapshot_id: str) -> AsyncIterator[bytes]:
        """In chunks of a megabyte."""
        try:
            file = await asyncio.to_thread(self._path(instance.id, snapshot_id).open, "rb")
        except FileNotFoundError:
            raise NotFoundError("snapshot", snapshot_id) from None
        with file:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk

    async def drop_snapshot(self, instance: Instance, snapshot_id: str) -> None:
        """Remove the file, and end the job that makes it."""
        async with self.host.lock(instance.id):
            path = self._path(instance.id, snapshot_id)
            part = path.with_name(path.name + ".part")
            if part.exists():
                await self.host.connection.call("end the backup", partial(_abort, instance.id))
            for one in (part, path):
                await asyncio.to_thread(one.unlink, True)

    def _path(self, instance_id: str, snapshot_id: str) -> Path:
        return self.host.folders.folder(instance_id) / (PREFIX + os.path.basename(snapshot_id))

    async def _clear(self, instance_id: str) -> None:
        """End a job that was left, and remove what other snapshots have left."""
        await self.host.connection.call("end the backup", partial(_abort, instance_id))
        for path in self.host.folders.folder(instance_id).glob(PREFIX + "*"):
            await asyncio.to_thread(path.unlink, True)

    async def _take(
        self,
        instance: Instance,
        disks: Sequence[GuestDisk],
        part: Path,
        disk_format: str,
        progress: Progress,
    ) -> None:
        begin = partial(_begin, instance, _backup_xml(disks, part, disk_format))
        if await self.host.connection.call("begin the backup", begin):
            if await self._backed_up(instance.id, progress):
                return
            # The guest went off in the middle, and QEMU's job with it: its disk lies still now.
            await asyncio.to_thread(part.unlink, True)
        source = self.host.folders.folder(instance.id) / disks[0].file
        await self.host.qemu_img.convert(source, disks[0].disk_format, part, disk_format)

    async def _backed_up(self, instance_id: str, progress: Progress) -> bool:
        """Wait for the job; False when the guest has gone off. Raises DriverFailureError."""
        pause = _FIRST_PAUSE
        while True:
            percent = await self.host.connection.call("look at the backup", partial(_percent, instance_id))
            if percent is None:
                return False
            if percent == _DONE:
                return True
            progress("taking snapshot", percent)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


_DONE = 100


def _keep(part: Path, path: Path) -> None:
    """Make a whole file what it is called, for good."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _backup_xml(disks: Sequence[GuestDisk], target: Path, disk_format: str) -> str:
    backup = ET.Element("domainbackup", mode="push")
    listed = ET.SubElement(backup, "disks")
    for disk in disks:
        wanted = disk.kind == "root"
        element = ET.SubElement(listed, "disk", name=disk.target, backup="yes" if wanted else "no")
        if wanted:
            element.set("type", "file")
            ET.SubElement(element, "driver", type=disk_format)
            ET.SubElement(element, "target", file=str(target))
    return ET.tostring(backup, encoding="unicode")


# What follows runs in a thread, with the virConnect last by functools.partial.


def _begin(instance: Instance, definition: str, connection: Any) -> bool:
    """Begin the backup job; False for a guest that is off, which needs none."""
    domain = find(connection, instance.id)
    if state_of(domain) not in _ACTIVE:
        return False
    frozen = _freeze(instance, domain)
    try:
        domain.backupBegin(definition, None, 0)
    except libvirt.libvirtError:
        if state_of(domain) not in _ACTIVE:
            return False
        raise
    finally:
        if frozen:
            _thaw(instance.id, domain)
    return True


def _freeze(instance: Instance, domain: Any) -> bool:
    """Have the guest's agent write out the file systems and hold them still, where there is one."""
    agent = _flag(instance, "hw_qemu_guest_agent")
    required = _flag(instance, "os_require_quiesce")
    why = "the image's property hw_qemu_guest_agent doesn't say that it has a QEMU guest agent"
    if agent:
        try:
            domain.fsFreeze()
            return True
        except libvirt.libvirtError as error:
            why = f"its QEMU guest agent does not do it: {error}"
    if required:
        raise NotSupportedError("quiesce", f"Instance {instance.id} can't be quiesced: {why}.")
    if agent:
        _log.info("snapshot without quiescing", instance=instance.id, why=why)
    return False


def _thaw(instance_id: str, domain: Any) -> None:
    try:
        domain.fsThaw()
    except libvirt.libvirtError as error:
        # The copy is good. The agent thaws by itself when it is asked next, or the guest is rebooted.
        _log.error("file systems not thawed", instance=instance_id, why=str(error))


def _flag(instance: Instance, name: str) -> bool:
    return instance.system_metadata.get(f"image_{name}", "").strip().lower() in _TRUE


def _percent(instance_id: str, connection: Any) -> int | None:
    """How far the backup is, _DONE when it is whole, None when the guest went off before."""
    domain = find_or_none(connection, instance_id)
    if domain is None:
        return None
    now = job_of(domain)
    if now["type"] != libvirt.VIR_DOMAIN_JOB_NONE:
        total, done = now.get("disk_total", 0), now.get("disk_processed", 0)
        return min(done * 100 // total, _DONE - 1) if total else 0
    if state_of(domain) not in _ACTIVE:
        return None
    ended = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
    if ended.get("success", ended["type"] == libvirt.VIR_DOMAIN_JOB_COMPLETED):
        return _DONE
    # A guest that is ended loses its job first, and is said to be off a moment later.
    deadline = time.monotonic() + _END_TIMEOUT
    while time.monotonic() < deadline:
        time.sleep(_FIRST_PAUSE)
        if state_of(domain) not in _ACTIVE:
            return None
    raise DriverFailureError(
        "libvirt", "back the disk up", f"The copy of the disk ended: {ended.get('errmsg', 'no reason given')}"
    )


def _abort(instance_id: str, connection: Any) -> None:
    """End a backup job, if one is under way, and return when it has ended."""
    domain = find_or_none(connection, instance_id)
    if domain is None:
        return
    deadline = time.monotonic() + _ABORT_TIMEOUT
    while job_of(domain).get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP:
        if time.monotonic() > deadline:
            raise DriverFailureError("libvirt", "end the backup", "QEMU does not let go of the backup job.")
        try:
            domain.abortJob()
        except libvirt.libvirtError as error:
            # It was done just now.
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise
        time.sleep(_FIRST_PAUSE)


def job_of(domain: Any) -> dict[str, Any]:
    """The job under way on a domain; its `type` is VIR_DOMAIN_JOB_NONE, and nothing else there, for none."""
    for attempt in range(_LOOKS):
        if state_of(domain) not in _ACTIVE:
            break
        try:
            found: dict[str, Any] = domain.jobStats()
            return found
        except libvirt.libvirtError:
            # A backup that begins or ends right now can't be looked at, nor one whose guest ends.
            if attempt == _LOOKS - 1:
                raise
            time.sleep(_FIRST_PAUSE)
    return {"type": libvirt.VIR_DOMAIN_JOB_NONE}
