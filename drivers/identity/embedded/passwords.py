"""Argon2 in a few threads of its own, so that logins never hold up the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from prometheus_client import Histogram

from drivers.identity.embedded.options import EmbeddedOptions
from novamesh.failures import InvalidArgumentError, ResourceExhaustedError

T = TypeVar("T")

_SECONDS = Histogram("novamesh_identity_hash_seconds", "Time of one password hash, waiting included.")


class Passwords:
    """Hashes and checks secrets; at most `hash_threads` at a time, at most `hash_queue` waiting."""

    def __init__(self, options: EmbeddedOptions) -> None:
        self._options = options
        self._hasher = PasswordHasher(
            time_cost=options.argon2_time_cost, memory_cost=options.argon2_memory, parallelism=1
        )
        self._pool = ThreadPoolExecutor(options.hash_threads, thread_name_prefix="argon2")
        self._pending = 0
        # Checked when there is no hash, so that the time taken doesn't tell which users exist.
        self._nobody: str | None = None

    async def hash(self, secret: str) -> str:
        """Hash a secret. Raises InvalidArgumentError and ResourceExhaustedError."""
        if not secret:
            raise InvalidArgumentError("password", "A password can't be empty.")
        if len(secret) > self._options.max_password_length:
            raise InvalidArgumentError(
                "password", f"A password has at most {self._options.max_password_length} characters."
            )
        return await self._run(lambda: self._hasher.hash(secret))

    async def matches(self, stored: str, secret: str) -> bool:
        """True when `stored` is the secret's hash; takes as long when `stored` is empty."""
        if len(secret) > self._options.max_password_length:
            return False
        return await self._run(lambda: self._matches(stored, secret))

    def is_outdated(self, stored: str) -> bool:
        """True when the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored: str, secret: str) -> bool:
        if not stored and self._nobody is None:
            self._nobody = self._hasher.hash("nobody has this password")
        try:
            self._hasher.verify(stored or self._nobody or "", secret)
        except (VerificationError, InvalidHashError):
            return False
        return bool(stored)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._options.hash_queue + self._options.hash_threads:
            raise ResourceExhaustedError("password_hashing", "Too many logins at once; try again shortly.")
        self._pending += 1
        try:
            with _SECONDS.time():
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._pending -= 1
