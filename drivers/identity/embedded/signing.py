"""Signs tokens, and reads those that any identity of this cloud signed."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from drivers.identity.embedded.keys import KeyDirectory, PrivateKey
from drivers.identity.embedded.options import EmbeddedOptions
from novamesh.conductor.v1.authentication_service_pb2 import ListSigningKeysRequest, PublishSigningKeyRequest
from novamesh.tokens import TokenVerifier, UnknownSigningKeyError, encode
from novamesh.types.v1.identity_pb2 import SigningKey, Token

if TYPE_CHECKING:
    from novamesh.conductor.v1.authentication_service_pb2_grpc import AuthenticationServiceAsyncStub

log = structlog.get_logger("novamesh.identity")

# Seconds between two reads of the keys: anybody can send tokens with keys that nobody knows.
_KEY_REFRESH_PAUSE = 0.2


class TokenSigner:
    """Holds the private keys. A key signs only once its public half is with the conductor."""

    def __init__(self, options: EmbeddedOptions, records: "AuthenticationServiceAsyncStub") -> None:
        self._rotation = options.key_rotation
        self._directory = KeyDirectory(options.key_repository, options.key_rotation)
        self._records = records
        self._keys: list[PrivateKey] = []
        self._published: PrivateKey | None = None
        self._verifier = TokenVerifier()
        self._rotating = asyncio.Lock()
        self._refreshing = asyncio.Lock()
        self._refreshed_at = -_KEY_REFRESH_PAUSE

    def load(self) -> None:
        """Read the directory. Raises UnavailableError naming what can't be read."""
        self._keys = self._directory.load()

    async def sign(self, token: Token) -> str:
        """Write the token. Raises UnavailableError when a key is needed that can't be published."""
        key = await self._current()
        return encode(token, key.id, key.private)

    async def read(self, token: str) -> Token:
        """What the token says. Raises UnauthenticatedError, UnavailableError."""
        now = time.time()
        try:
            return self._verifier.read(token, now)
        except UnknownSigningKeyError:
            await self._refresh_keys()
            return self._verifier.read(token, now)

    async def public_keys(self) -> Sequence[SigningKey]:
        """The keys of all identities of this cloud; this one's is published by then."""
        await self._current()
        answer = await self._records.ListSigningKeys(ListSigningKeysRequest())
        return list(answer.keys)

    async def _refresh_keys(self) -> None:
        asked_at = time.monotonic()
        async with self._refreshing:
            if self._refreshed_at > asked_at:
                return
            await asyncio.sleep(self._refreshed_at + _KEY_REFRESH_PAUSE - time.monotonic())
            began_at = time.monotonic()
            self._verifier.set_keys(await self.public_keys())
            self._refreshed_at = began_at

    async def _current(self) -> PrivateKey:
        now = time.time()
        if self._published is None or self._directory.is_due(self._published, now):
            return await self._rotate(now)
        return self._published

    async def _rotate(self, now: float) -> PrivateKey:
        async with self._rotating:
            if self._published is not None and not self._directory.is_due(self._published, now):
                return self._published
            if not self._keys or self._directory.is_due(self._keys[-1], now):
                self._keys.append(self._directory.create(now))
                log.info("signing key made", key=self._keys[-1].id)
            key = self._keys[-1]
            await self._records.PublishSigningKey(PublishSigningKeyRequest(key=key.public(self._rotation)))
            self._published = key
            self._keys = self._directory.discard_ended(self._keys, now)
            return key
