"""The in-memory transport: a call to a role in this process goes straight to its chain.

Nothing is serialised: messages pass by reference, so neither side may change
one that it sent or received. A unary call runs in the caller's own task, when
it is awaited; a stream runs in a task of its own, as it would behind a server.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import grpc
import grpc.aio

from novamesh.failures import DeadlineExceededError, Failure, NotSupportedError, UnavailableError
from services.mesh.chain import Method
from services.mesh.context import Call
from services.mesh.identity import Peer

# Messages that one side of a stream may be ahead of the other.
_AHEAD = 16
_END = object()
_NO_METADATA = grpc.aio.Metadata()


@dataclass(frozen=True, eq=False)
class Served:
    """A role as this process serves it."""

    identity: Peer
    address: str
    methods: dict[str, Method]
    # Streams that are open now; they end with the role.
    streams: "set[_Stream]" = field(default_factory=set)


class Neighbours:
    """The roles that share this process, so that their calls need no network."""

    def __init__(self) -> None:
        self._served: list[Served] = []

    def add(self, served: Served) -> None:
        """From now on calls to this role or address stay in memory."""
        self._served.append(served)

    def remove(self, served: Served) -> None:
        """The role is no longer served here; its open streams fail with UnavailableError."""
        if served in self._served:
            self._served.remove(served)
        for stream in tuple(served.streams):
            stream.abandon()

    def by_role(self, role: str) -> Served | None:
        """The first that serves `role`."""
        return next((served for served in self._served if served.identity.role == role), None)

    def by_address(self, address: str) -> Served | None:
        """The one that listens on `address`."""
        return next((served for served in self._served if served.address == address), None)


def _too_late(part: str, method: str) -> DeadlineExceededError:
    return DeadlineExceededError(part, f"{part} did not answer {method} in time.")


class LocalCall(grpc.aio.Call):
    """What both kinds of local call can tell of themselves."""

    _call: Call
    _failure: BaseException | None = None
    _ended = False

    def cancelled(self) -> bool:
        """Whether it was cancelled here."""
        return isinstance(self._failure, asyncio.CancelledError)

    def done(self) -> bool:
        """Whether the answer, or the failure, is there."""
        return self._ended

    def time_remaining(self) -> float | None:
        """Seconds left; None without a deadline."""
        left = self._call.deadline - monotonic()
        return None if left == float("inf") else max(0.0, left)

    def add_done_callback(self, callback: Any) -> None:
        """gRPC's callbacks; nobody in the mesh needs them."""
        raise NotImplementedError("a call in memory has no callbacks: await it")

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """None: there is no wire."""
        return _NO_METADATA

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """None: there is no wire."""
        return _NO_METADATA

    async def code(self) -> grpc.StatusCode:
        """The status once it has ended."""
        failure = self._failure
        if failure is None:
            return grpc.StatusCode.OK
        if isinstance(failure, Failure):
            return next(code for code in grpc.StatusCode if code.value[0] == failure.code)
        return grpc.StatusCode.CANCELLED

    async def details(self) -> str:
        """The failure's sentence, or nothing."""
        return str(self._failure or "")

    async def wait_for_connection(self) -> None:
        """Returns at once: there is nothing to connect."""


class LocalUnaryCall(LocalCall, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One message there, one back."""

    def __init__(self, method: Method, request: Any, call: Call, timeout: float | None, part: str) -> None:
        self._method = method
        self._request = request
        self._call = call
        self._timeout = timeout
        self._part = part
        self._task: asyncio.Task[Any] | None = None
        self._result: Any = None

    def __await__(self) -> Generator[Any, None, Any]:
        return self._run().__await__()

    async def _run(self) -> Any:
        if self._ended:
            if self._failure is not None:
                raise self._failure
            return self._result
        method = self._method
        self._task = asyncio.current_task()
        try:
            async with asyncio.timeout(self._timeout):
                self._result = await method.answer(self._request, self._call)
                return self._result
        except TimeoutError:
            self._failure = _too_late(self._part, method.name)
            raise self._failure from None
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._ended = True
            self._task = None

    def cancel(self) -> bool:
        """Cancel the task that awaits the answer; before that, the call itself."""
        if self._ended:
            return False
        if self._task is not None:
            return self._task.cancel()
        self._ended, self._failure = True, asyncio.CancelledError()
        return True


class _Stream:
    """The two queues between caller and servicer, and the task that answers."""

    def __init__(self, served: Served, method: Method, call: Call, timeout: float | None, part: str) -> None:
        self.served = served
        self.method = method
        self.call = call
        self.timeout = timeout
        self.part = part
        self.requests: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)
        self.responses: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)
        self.failure: BaseException | None = None
        self.result: Any = None
        self.feeder: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self, source: Any) -> None:
        """Answer, and send what `source` holds: a message, an iterator, or None when the caller writes."""
        first: Any = self._incoming()
        if not self.method.client_streaming:
            first = source
        elif source is not None:
            self.feeder = asyncio.create_task(self._feed(source))
        self.task = asyncio.create_task(self._serve(first))
        self.served.streams.add(self)
        self.task.add_done_callback(self._release)

    def abandon(self) -> None:
        """The role stops."""
        self.failure = self.failure or UnavailableError(self.part, f"{self.part} has stopped.")
        if self.task is not None:
            self.task.cancel()

    async def _incoming(self) -> AsyncIterator[Any]:
        while (message := await self.requests.get()) is not _END:
            yield message

    async def _feed(self, source: AsyncIterable[Any] | Iterable[Any]) -> None:
        try:
            if isinstance(source, AsyncIterable):
                async for message in source:
                    await self.requests.put(message)
            else:
                for message in source:
                    await self.requests.put(message)
            await self.requests.put(_END)
        except Exception as error:
            # The caller's own mistake goes back to the caller; the servicer sees a cancelled call.
            self.failure = error
            if self.task is not None:
                self.task.cancel()

    async def _serve(self, source: Any) -> None:
        failure: BaseException | None = None
        try:
            async with asyncio.timeout(self.timeout):
                if self.method.server_streaming:
                    async for message in self.method.stream(source, self.call):
                        await self.responses.put(message)
                else:
                    self.result = await self.method.answer(source, self.call)
        except TimeoutError:
            failure = _too_late(self.part, self.method.name)
        except asyncio.CancelledError as error:
            failure = error
        except Failure as error:
            failure = error
        self.failure = self.failure or failure

    def _release(self, task: asyncio.Task[None]) -> None:
        """Once the servicer is done, or was cancelled before it began: wake whoever waits on either queue."""
        self.served.streams.discard(self)
        if task.cancelled():
            self.failure = self.failure or asyncio.CancelledError()
        if self.feeder is not None:
            self.feeder.cancel()
        if not self.responses.full():
            self.responses.put_nowait(_END)
        while not self.requests.empty():
            self.requests.get_nowait()

    async def read(self) -> Any:
        """The next response, or EOF. Raises what the call failed with."""
        assert self.task is not None
        if self.responses.empty() and self.task.done():
            message: Any = _END
        else:
            message = await self.responses.get()
        if message is not _END:
            return message
        if self.failure is not None:
            raise self.failure
        return grpc.aio.EOF

    async def write(self, message: Any) -> None:
        """Send one request. Raises what the call failed with, once it has ended."""
        assert self.task is not None
        if self.task.done():
            raise self.failure or asyncio.InvalidStateError("the call has ended")
        await self.requests.put(message)

    async def answer(self) -> Any:
        """The one response of a call that streams only requests."""
        assert self.task is not None
        try:
            await asyncio.shield(self.task)
        except asyncio.CancelledError:
            if not self.task.done():
                self.task.cancel()
                raise
        if self.failure is not None:
            raise self.failure
        return self.result


class _LocalStreamCall(LocalCall):
    """A streamed call, cancelled when nobody holds it any more."""

    def __init__(self, stream: _Stream, source: Any) -> None:
        self._stream = stream
        self._call = stream.call
        stream.start(source)

    def __del__(self) -> None:
        self.cancel()

    @property
    def _failure(self) -> BaseException | None:  # type: ignore[override]
        return self._stream.failure

    @property
    def _ended(self) -> bool:  # type: ignore[override]
        return self._stream.task is None or self._stream.task.done()

    def cancel(self) -> bool:
        """End it on both sides."""
        task = self._stream.task
        if task is None or task.done() or task.get_loop().is_closed():
            return False
        return task.cancel()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        # A coroutine of its own, so that it holds this object, which cancels when it is let go.
        return await self._stream.answer()

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (message := await self._stream.read()) is not grpc.aio.EOF:
            yield message

    async def read(self) -> Any:
        """The next response, or EOF."""
        return await self._stream.read()

    async def write(self, request: Any) -> None:
        """Send one request."""
        await self._stream.write(request)

    async def done_writing(self) -> None:
        """There are no more requests."""
        await self._stream.requests.put(_END)


class LocalUnaryStreamCall(_LocalStreamCall, grpc.aio.UnaryStreamCall[Any, Any]):
    """One message there, many back."""


class LocalStreamUnaryCall(_LocalStreamCall, grpc.aio.StreamUnaryCall[Any, Any]):
    """Many messages there, one back."""


class LocalStreamStreamCall(_LocalStreamCall, grpc.aio.StreamStreamCall[Any, Any]):
    """Many messages both ways."""


class LocalConnection:
    """Calls from `caller` to one served role."""

    def __init__(self, served: Served, part: str) -> None:
        self._served = served
        self.part = part

    def method(self, name: str) -> Method:
        """The method to call; NotSupportedError when the role doesn't serve it."""
        try:
            return self._served.methods[name]
        except KeyError:
            raise NotSupportedError(name, f"{self.part} does not serve {name}.") from None

    def unary(self, name: str, request: Any, call: Call, timeout: float | None) -> LocalUnaryCall:
        """Call a method that answers one message with one."""
        return LocalUnaryCall(self.method(name), request, call, timeout, self.part)

    def stream(self, name: str, call: Call, timeout: float | None) -> _Stream:
        """Prepare a streamed call."""
        return _Stream(self._served, self.method(name), call, timeout, self.part)
