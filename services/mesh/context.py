"""What surrounds a call: who called, for which end user, until when.

One context variable holds it. Inside a servicer it is the call being answered,
so that calls made from there carry the same end user and what is left of the
deadline, without anybody passing them on.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh.identity import Peer

NOBODY = RequestContext()


class Call:
    """The call that a servicer answers: the second argument of every servicer method.

    `deadline` is in seconds of `time.monotonic()`; infinite when the caller set none.
    """

    __slots__ = ("context", "deadline", "ended", "method", "peer")

    def __init__(
        self, peer: Peer, context: RequestContext = NOBODY, method: str = "", deadline: float = math.inf
    ) -> None:
        self.peer = peer
        self.context = context
        self.method = method
        self.deadline = deadline
        # Set when the answer is out: from then on the deadline binds nothing that the call started.
        self.ended = False

    def remaining(self) -> float:
        """Seconds until the deadline, never below 0; infinite when there is none."""
        return max(0.0, self.deadline - monotonic())


class Scope:
    """What calls made from here carry: the end user, the trace, and the call being answered, if any."""

    __slots__ = ("_encoded", "call", "context", "traceparent")

    def __init__(
        self, context: RequestContext = NOBODY, call: Call | None = None, traceparent: str = ""
    ) -> None:
        self.context = context
        self.call = call
        self.traceparent = traceparent
        self._encoded: bytes | None = None

    def encoded(self) -> bytes:
        """The end user as metadata carries it; serialised once however many calls are made."""
        if self._encoded is None:
            self._encoded = self.context.SerializeToString()
        return self._encoded

    def deadline(self) -> float:
        """Until when the call being answered must be done; infinite outside one, or once it has ended."""
        call = self.call
        return math.inf if call is None or call.ended else call.deadline


_EMPTY = Scope()
SCOPE: ContextVar[Scope] = ContextVar("novamesh_scope", default=_EMPTY)


@contextmanager
def calling_as(context: RequestContext) -> Iterator[None]:
    """Outgoing calls made in this block carry this end user. Mustn't change `context` afterwards."""
    outer = SCOPE.get()
    token = SCOPE.set(Scope(context, outer.call, outer.traceparent))
    try:
        yield
    finally:
        SCOPE.reset(token)


def current_context() -> RequestContext:
    """The end user that calls made from here carry; an empty message when the cloud works by itself."""
    return SCOPE.get().context


def current_call() -> Call | None:
    """The call being answered here, if any."""
    return SCOPE.get().call
