"""Changes that depend on what is there, like one item more: worked out anew when somebody else was faster."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from novamesh.failures import GenerationConflictError

T = TypeVar("T")

ATTEMPTS = 5


async def rewritten(attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` returns, which reads a record and writes it with the generation that it has read.

    Raises GenerationConflictError when it comes too late ATTEMPTS times, and whatever else it raises.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(GenerationConflictError):
            return await attempt()
    return await attempt()
