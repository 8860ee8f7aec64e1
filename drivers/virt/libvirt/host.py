"""What the abilities of the libvirt driver share: the connection, the folders, and who waits for what."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from drivers.virt.image_cache import ImageCache
from drivers.virt.libvirt.api import libvirt
from drivers.virt.libvirt.connection import Connection
from drivers.virt.libvirt.domain import RESCUE, Guest, domain_xml, plan_rescue
from drivers.virt.libvirt.folders import GuestFolders
from drivers.virt.libvirt.kept import KeptFolders
from drivers.virt.libvirt.options import LibvirtOptions
from drivers.virt.protocols import ImageSource, PowerChange
from drivers.virt.qemu_img import QemuImg
from novamesh.failures import NotFoundError
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_CRASHED,
    POWER_STATE_PAUSED,
    POWER_STATE_RUNNING,
    POWER_STATE_SHUTDOWN,
    POWER_STATE_SUSPENDED,
    POWER_STATE_UNSPECIFIED,
    Instance,
    PowerState,
)
from novamesh.types.v1.operation_pb2 import RescueArguments


class LibvirtHost:
    """One host's libvirtd and instances folder."""

    def __init__(self, options: LibvirtOptions, images: ImageSource) -> None:
        self.options = options
        self.virt_type = "qemu"
        self.qemu_img = qemu_img = QemuImg("libvirt", options.qemu_img_concurrency)
        cache = ImageCache(_cache_folder(options), images, qemu_img, options.force_raw_images)
        self.folders = GuestFolders(options, cache, qemu_img)
        self.kept = KeptFolders(options, self.folders, qemu_img)
        self._connection: Connection | None = None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._watchers: list[Callable[[PowerChange], None]] = []
        self._stops: dict[str, set[asyncio.Event]] = {}

    async def open(self) -> None:
        """Connect and sweep. Raises UnavailableError."""
        if self._connection is None:
            self._connection = Connection(self.options.connection_uri, self.options.num_threads, self)
        await self._connection.open()
        await self.folders.start()

    async def close(self) -> None:
        """Let go of libvirtd."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @property
    def connection(self) -> Connection:
        """The connection of a host that was opened."""
        assert self._connection is not None, "the driver was not started"
        return self._connection

    def lock(self, instance_id: str) -> asyncio.Lock:
        """What a method holds while it changes a guest, so that two calls for one don't mix."""
        return self._locks.setdefault(instance_id, asyncio.Lock())

    def definition(self, instance: Instance, rescue: RescueArguments | None = None) -> str:
        """The XML of a guest whose files are there, rescued or not.

        Raises DriverFailureError when its root disk is not there.
        """
        disks, names = self.folders.files(instance)
        suffix = ""
        if rescue is not None:
            instance, disks = plan_rescue(instance, rescue, disks, self.options)
            suffix = RESCUE
        return domain_xml(
            Guest(
                instance=instance,
                options=self.options,
                virt_type=self.virt_type,
                folder=self.folders.folder(instance.id),
                disks=disks,
                kernel="kernel" + suffix in names,
                ramdisk="ramdisk" + suffix in names,
                rescue_image=rescue.image_id if rescue else "",
                as_root=self.folders.only_root_reaches(instance.id),
            )
        )

    def watch(self, on_change: Callable[[PowerChange], None]) -> Callable[[], None]:
        """Call `on_change` at every change, until what is returned is called."""
        self._watchers.append(on_change)
        return lambda: self._watchers.remove(on_change)

    @contextmanager
    def stopping(self, instance_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when the guest stops."""
        stopped = asyncio.Event()
        waiting = self._stops.setdefault(instance_id, set())
        waiting.add(stopped)
        try:
            yield stopped
        finally:
            waiting.discard(stopped)
            if not waiting:
                self._stops.pop(instance_id, None)

    def on_lifecycle(self, instance_id: str, event: int, detail: int) -> None:
        """libvirt's news of a domain, for watchers and for those who wait."""
        state = _state_after(event, detail)
        if state == POWER_STATE_UNSPECIFIED or not self.folders.folder(instance_id).exists():
            return
        if state not in (POWER_STATE_RUNNING, POWER_STATE_PAUSED):
            for stopped in self._stops.get(instance_id, ()):
                stopped.set()
        self._tell(PowerChange(instance_id, state))

    def on_disconnect(self) -> None:
        """libvirtd is away: who waits for a guest to stop may as well ask, and learn that."""
        for waiting in self._stops.values():
            for stopped in waiting:
                stopped.set()

    def on_reconnect(self) -> None:
        """libvirtd was away: guests may have stopped unseen."""
        self._tell(PowerChange("", POWER_STATE_UNSPECIFIED))

    def _tell(self, change: PowerChange) -> None:
        for on_change in tuple(self._watchers):
            on_change(change)


def find(connection: Any, instance_id: str) -> Any:
    """The domain of an instance. Raises NotFoundError. For use in a thread."""
    domain = find_or_none(connection, instance_id)
    if domain is None:
        raise NotFoundError("instance", instance_id)
    return domain


def find_or_none(connection: Any, instance_id: str) -> Any:
    """The domain of an instance, or None. For use in a thread."""
    try:
        return connection.lookupByUUIDString(instance_id)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def state_of(domain: Any) -> PowerState.ValueType:
    """The domain's power state. For use in a thread."""
    state, _ = domain.state()
    if state == libvirt.VIR_DOMAIN_SHUTOFF and domain.hasManagedSaveImage():
        return POWER_STATE_SUSPENDED
    return power_state(state)


def power_state(state: int) -> PowerState.ValueType:
    """Nova's word for one of libvirt's."""
    if state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED, libvirt.VIR_DOMAIN_SHUTDOWN):
        # VIR_DOMAIN_SHUTDOWN is on its way down, still running.
        return POWER_STATE_RUNNING
    if state == libvirt.VIR_DOMAIN_PAUSED:
        return POWER_STATE_PAUSED
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        return POWER_STATE_SHUTDOWN
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return POWER_STATE_CRASHED
    if state == libvirt.VIR_DOMAIN_PMSUSPENDED:
        return POWER_STATE_SUSPENDED
    return POWER_STATE_UNSPECIFIED


def _state_after(event: int, detail: int) -> PowerState.ValueType:
    if event in (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_RESUMED):
        return POWER_STATE_RUNNING
    if event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED:
        return POWER_STATE_PAUSED
    if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
        if detail == libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED:
            return POWER_STATE_SUSPENDED
        if detail in (libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED):
            return POWER_STATE_CRASHED
        return POWER_STATE_SHUTDOWN
    return POWER_STATE_UNSPECIFIED


def _cache_folder(options: LibvirtOptions) -> Path:
    # Nova's name for it. In the instances folder, since guests hold images by hard links.
    return Path(options.instances_path).absolute() / "_base"
