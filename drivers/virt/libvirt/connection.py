"""The connection to libvirtd: opened when needed and again when lost, used from a bounded pool of threads.

libvirt's calls block, so none is made on the event loop. Its events come from a
thread of its own, one for the whole process, and are handed to the loop.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import structlog

from drivers.virt.libvirt.api import libvirt
from novamesh.failures import DriverFailureError, Failure, ResourceExhaustedError, UnavailableError

_log = structlog.get_logger("novamesh.libvirt")

T = TypeVar("T")

# Seconds between signs of life, and how many may be missed before the connection counts as lost.
_KEEPALIVE = (5, 3)
_RETRY_FIRST, _RETRY_LAST = 0.2, 5.0


class Listener(Protocol):
    """Who is told of what libvirtd tells; every method is called on the event loop."""

    def on_lifecycle(self, instance_id: str, event: int, detail: int) -> None:
        """A domain changed; the numbers are libvirt's VIR_DOMAIN_EVENT_*."""
        ...

    def on_disconnect(self) -> None:
        """libvirtd has gone away."""
        ...

    def on_reconnect(self) -> None:
        """libvirtd was away and is back."""
        ...


class Connection:
    """One libvirtd, from the event loop."""

    def __init__(self, uri: str, threads: int, listener: Listener) -> None:
        self._uri = uri
        self._listener = listener
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="libvirt")
        self._open_lock = asyncio.Lock()
        self._connection: Any = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Connect. Raises UnavailableError."""
        if libvirt is None:
            raise UnavailableError(
                "libvirt",
                "libvirt-python is missing: apt-get install libvirt-dev && pip install novamesh[libvirt]",
            )
        _run_events()
        await self._live()

    async def close(self) -> None:
        """Let go of libvirtd, for good."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._pool, _close, connection)
        self._pool.shutdown(wait=False)

    async def call(self, action: str, work: Callable[[Any], T]) -> T:
        """Run `work` with the virConnect in a thread.

        A caller who is cancelled gets the cancellation when `work` has ended: a
        call into libvirt can't be stopped, and whoever comes next would meet it.
        Raises UnavailableError("libvirt"), ResourceExhaustedError("disk"),
        DriverFailureError with `action`, and any Failure that `work` raises.
        """
        connection = await self._live()
        future = asyncio.get_running_loop().run_in_executor(
            self._pool, functools.partial(_guarded, connection, action, work)
        )
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()
            raise
        except UnavailableError:
            self._lose(connection)
            raise

    async def _live(self) -> Any:
        if self._connection is not None:
            return self._connection
        async with self._open_lock:
            if self._connection is None:
                loop = asyncio.get_running_loop()
                self._connection = await loop.run_in_executor(self._pool, self._connect, loop)
            return self._connection

    def _connect(self, loop: asyncio.AbstractEventLoop) -> Any:
        try:
            connection = libvirt.open(self._uri)
            connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle, loop
            )
            connection.registerCloseCallback(self._on_close, loop)
            connection.setKeepAlive(*_KEEPALIVE)
        except libvirt.libvirtError as error:
            raise UnavailableError(
                "libvirt",
                f"libvirtd doesn't answer at {self._uri}: {error}. Start it, or let novamesh run its own.",
                retry_after=_RETRY_LAST,
            ) from error
        return connection

    def _on_lifecycle(self, _: Any, domain: Any, event: int, detail: int, loop: Any) -> None:
        # In the event thread.
        instance_id = domain.UUIDString()
        _call_soon(loop, self._listener.on_lifecycle, instance_id, event, detail)

    def _on_close(self, connection: Any, _: int, loop: Any) -> None:
        _call_soon(loop, self._lose, connection)

    def _lose(self, connection: Any) -> None:
        """Forget a connection that has broken, and look for libvirtd until it is back."""
        if self._closed or connection is not self._connection:
            return
        _log.warning("lost libvirtd", uri=self._uri)
        self._connection = None
        self._listener.on_disconnect()
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        pause = _RETRY_FIRST
        while True:
            try:
                await self._live()
            except UnavailableError:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _RETRY_LAST)
            else:
                _log.info("found libvirtd again", uri=self._uri)
                self._listener.on_reconnect()
                return


def _guarded(connection: Any, action: str, work: Callable[[Any], T]) -> T:
    try:
        return work(connection)
    except libvirt.libvirtError as error:
        raise _failure(connection, action, error) from error


def _failure(connection: Any, action: str, error: Any) -> Failure:
    message = str(error)
    if not connection.isAlive():
        return UnavailableError("libvirt", f"libvirtd went away during {action}: {message}", _RETRY_LAST)
    if "No space left on device" in message or "Disk quota exceeded" in message:
        return ResourceExhaustedError("disk", f"libvirt could not {action}: {message}")
    return DriverFailureError("libvirt", action, f"libvirt could not {action}: {message}")


def _close(connection: Any) -> None:
    try:
        connection.unregisterCloseCallback()
        connection.close()
    except libvirt.libvirtError:
        _log.debug("libvirtd was gone at close")


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: Any) -> None:
    # A loop that has ended before the connection says so by RuntimeError; nobody is left to tell.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)


@functools.cache
def _run_events() -> None:
    """Serve libvirt's event loop in a thread for as long as the process lives: libvirt can have only one."""
    libvirt.virEventRegisterDefaultImpl()
    # libvirt prints every error to stderr unless told not to; they are raised as well.
    libvirt.registerErrorHandler(lambda *_: None, None)
    threading.Thread(target=_serve_events, name="libvirt-events", daemon=True).start()


def _serve_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
