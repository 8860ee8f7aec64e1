"""Calls over mutual TLS, whose statuses come out as failures."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable
from typing import Any

import grpc
import grpc.aio

from services.mesh.status import failure_of


class WireCall(grpc.aio.Call):
    """A grpc.aio call that fails with our own classes."""

    def __init__(self, method: str, part: str) -> None:
        self._method = method
        self._part = part
        self._inner: Any = None
        self._source_error: Exception | None = None

    def begin(self, inner: Any) -> None:
        """Take over the call that gRPC has begun."""
        self._inner = inner

    async def feed(self, source: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterator[Any]:
        """The caller's requests. A mistake in making them ends the call and goes back to the caller."""
        try:
            if isinstance(source, AsyncIterable):
                async for message in source:
                    yield message
            else:
                for message in source:
                    yield message
        except Exception as error:
            self._source_error = error
            self._inner.cancel()

    def _failed(self, error: BaseException) -> BaseException:
        if self._source_error is not None:
            return self._source_error
        if isinstance(error, grpc.aio.AioRpcError):
            return failure_of(error, self._method, self._part)
        return error

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        try:
            return await self._inner
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            raise self._failed(error) from None

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for message in self._inner:
                yield message
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            raise self._failed(error) from None
        finally:
            # A loop that was left early: gRPC itself would stream on until the garbage collector runs.
            self._inner.cancel()

    async def read(self) -> Any:
        """The next response, or EOF."""
        try:
            return await self._inner.read()
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            raise self._failed(error) from None

    async def write(self, request: Any) -> None:
        """Send one request."""
        try:
            await self._inner.write(request)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            raise self._failed(error) from None

    async def done_writing(self) -> None:
        """There are no more requests."""
        await self._inner.done_writing()

    def cancel(self) -> bool:
        """End the call."""
        return bool(self._inner.cancel())

    def cancelled(self) -> bool:
        """Whether it was cancelled here."""
        return bool(self._inner.cancelled())

    def done(self) -> bool:
        """Whether the answer, or the failure, is there."""
        return bool(self._inner.done())

    def time_remaining(self) -> float | None:
        """Seconds left; None without a deadline."""
        left: float | None = self._inner.time_remaining()
        return left

    def add_done_callback(self, callback: Any) -> None:
        """Call back when it has ended."""
        self._inner.add_done_callback(callback)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """What the server sent first."""
        metadata: grpc.aio.Metadata = await self._inner.initial_metadata()
        return metadata

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """What the server sent last."""
        metadata: grpc.aio.Metadata = await self._inner.trailing_metadata()
        return metadata

    async def code(self) -> grpc.StatusCode:
        """The status once it has ended."""
        code: grpc.StatusCode = await self._inner.code()
        return code

    async def details(self) -> str:
        """The status's sentence."""
        details: str = await self._inner.details()
        return details

    async def wait_for_connection(self) -> None:
        """Wait until the connection stands."""
        try:
            await self._inner.wait_for_connection()
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from None


class WireUnaryCall(WireCall, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One message there, one back."""


class WireUnaryStreamCall(WireCall, grpc.aio.UnaryStreamCall[Any, Any]):
    """One message there, many back."""


class WireStreamUnaryCall(WireCall, grpc.aio.StreamUnaryCall[Any, Any]):
    """Many messages there, one back."""


class WireStreamStreamCall(WireCall, grpc.aio.StreamStreamCall[Any, Any]):
    """Many messages both ways."""
