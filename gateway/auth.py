"""Who is asking: what every gateway does with X-Auth-Token.

Tokens of the embedded identity are checked here, by the public signing keys and the list of
revocations that identity streams, without a call; a token seen before costs a dictionary look-up. Tokens
of a Keystone are checked by identity.ValidateToken and remembered as long as identity says.
"""

import asyncio
import random
import time
from collections import OrderedDict
from dataclasses import dataclass

import structlog

from novamesh.failures import DeadlineExceededError, Failure, UnauthenticatedError, UnavailableError
from novamesh.identity.v1.token_service_pb2 import (
    GetSigningKeysRequest,
    ValidateTokenRequest,
    WatchRevocationsRequest,
)
from novamesh.identity.v1.token_service_pb2_grpc import TokenServiceStub
from novamesh.tokens import RevocationList, TokenVerifier, UnknownSigningKeyError
from novamesh.types.v1.identity_pb2 import Revocation, Token
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh import Node

log = structlog.get_logger("novamesh.gateway")

# Seconds that one watch lasts before it is begun again, so that watchers spread over added identities.
_WATCH_LIFE = 1800.0
# Seconds between two questions for signing keys: anybody can send tokens with keys that nobody knows.
_KEY_REFRESH_PAUSE = 0.2
_PRUNE_PAUSE = 600.0
# Seconds before identity is looked for again; twice that after each failure, up to 5.
_FIRST_PAUSE = 0.1


@dataclass(frozen=True)
class AuthOptions:
    """How a gateway recognises its callers."""

    token_cache_size: int = 5000
    """Tokens remembered as checked."""
    startup_timeout: float = 5.0
    """Seconds that a request waits for identity when nothing was heard from it yet."""
    validate_timeout: float = 10.0
    """Seconds that identity has to check a token that can't be checked here."""
    admin_roles: tuple[str, ...] = ("admin",)
    """Roles whose bearers have RequestContext.is_admin."""


@dataclass(slots=True)
class _Verified:
    token: Token
    context: RequestContext
    # Seconds since 1970.
    good_until: float
    # Of the revocation list when it was last asked.
    version: int


class Authenticator:
    """Tells who a token belongs to. One a process; start it before use."""

    def __init__(self, node: Node, options: AuthOptions | None = None) -> None:
        self._options = options or AuthOptions()
        self._stub = TokenServiceStub(node.channel("identity"))
        self._verifier = TokenVerifier()
        self._revocations = RevocationList()
        self._verified: OrderedDict[str, _Verified] = OrderedDict()
        self._asked: dict[str, asyncio.Future[_Verified]] = {}
        self._local = True
        self._ready = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._pause = _FIRST_PAUSE
        self._refresh = asyncio.Lock()
        self._refreshed_at = -_KEY_REFRESH_PAUSE

    async def start(self) -> None:
        """Begin to follow identity; returns at once, whether identity answers or not."""
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._follow(), name="revocation watch")

    async def stop(self) -> None:
        """Stop following."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None

    async def authenticate(self, token: str, *, now: float | None = None) -> RequestContext:
        """The end user that the token belongs to; `now` in seconds since 1970.

        The message is shared between requests: copy it to set request_id. A token without
        a project gives a context without project_id.
        Raises UnauthenticatedError (malformed, forged, ended, revoked) and UnavailableError
        (identity is needed and doesn't answer).
        """
        return (await self._find(token, time.time() if now is None else now)).context

    async def describe(self, token: str, *, now: float | None = None) -> Token:
        """All that the token says. Raises what authenticate raises."""
        return (await self._find(token, time.time() if now is None else now)).token

    def revoked(self, revocation: Revocation) -> None:
        """Apply a revocation that was made just now, before the watch brings it."""
        self._revocations.apply([revocation])

    async def _find(self, token: str, now: float) -> _Verified:
        known = self._verified.get(token)
        if known is not None and known.version == self._revocations.version and now < known.good_until:
            self._verified.move_to_end(token)
            return known
        if not token or not token.isascii():
            raise UnauthenticatedError
        if not self._ready.is_set():
            await self._wait_until_ready()
        if not self._local:
            return await self._ask(token, now)
        described = await self._read(token, now) if known is None else known.token
        if described.expires_at.seconds <= now:
            self._verified.pop(token, None)
            raise UnauthenticatedError("The token has expired.")
        version = self._revocations.version
        if self._revocations.revokes(described):
            self._verified.pop(token, None)
            raise UnauthenticatedError("The token was revoked.")
        return self._remember(token, described, described.expires_at.seconds, version)

    def _remember(self, token: str, described: Token, good_until: float, version: int) -> _Verified:
        verified = _Verified(described, self._context(described), good_until, version)
        self._verified[token] = verified
        self._verified.move_to_end(token)
        if len(self._verified) > self._options.token_cache_size:
            self._verified.popitem(last=False)
        return verified

    def _context(self, token: Token) -> RequestContext:
        roles = [role.name for role in token.roles]
        return RequestContext(
            user_id=token.user.id,
            user_name=token.user.name,
            user_domain_id=token.user.domain_id,
            project_id=token.project.id,
            project_name=token.project.name,
            project_domain_id=token.project.domain_id,
            roles=roles,
            is_admin=any(role in self._options.admin_roles for role in roles),
        )

    async def _read(self, token: str, now: float) -> Token:
        try:
            return self._verifier.read(token, now)
        except UnknownSigningKeyError:
            await self._refresh_keys()
            return self._verifier.read(token, now)

    async def _refresh_keys(self) -> None:
        asked_at = time.monotonic()
        async with self._refresh:
            if self._refreshed_at > asked_at:
                return
            await asyncio.sleep(self._refreshed_at + _KEY_REFRESH_PAUSE - time.monotonic())
            began_at = time.monotonic()
            answer = await self._stub.GetSigningKeys(
                GetSigningKeysRequest(), timeout=self._options.validate_timeout
            )
            self._local = answer.local_verification
            self._verifier.set_keys(answer.keys)
            self._refreshed_at = began_at

    async def _ask(self, token: str, now: float) -> _Verified:
        # Requests that bring the same new token at the same time share one question.
        question = self._asked.get(token)
        if question is None:
            question = asyncio.ensure_future(self._validate(token, now))
            self._asked[token] = question
            question.add_done_callback(lambda _: self._asked.pop(token, None))
        return await asyncio.shield(question)

    async def _validate(self, token: str, now: float) -> _Verified:
        self._verified.pop(token, None)
        answer = await self._stub.ValidateToken(
            ValidateTokenRequest(token=token), timeout=self._options.validate_timeout
        )
        described = answer.description
        if described.expires_at.seconds <= now:
            raise UnauthenticatedError("The token has expired.")
        good_until = min(
            float(described.expires_at.seconds), now + answer.valid_for.ToTimedelta().total_seconds()
        )
        return self._remember(token, described, good_until, self._revocations.version)

    async def _wait_until_ready(self) -> None:
        if self._watcher is None:
            raise UnavailableError("identity", "The gateway was not started.")
        try:
            async with asyncio.timeout(self._options.startup_timeout):
                await self._ready.wait()
        except TimeoutError:
            raise UnavailableError("identity", "Identity does not answer.", retry_after=1.0) from None

    async def _follow(self) -> None:
        while True:
            try:
                await self._refresh_keys()
                if self._local:
                    await self._watch()
                else:
                    self._ready.set()
                    self._pause = 60.0
            except Failure as failure:
                log.warning("identity lost", reason=failure.message, revision=self._revocations.revision)
                self._pause = min(self._pause * 2, 5.0)
            except Exception:
                # Without this task every later revocation would be missed in silence.
                log.exception("revocation watch failed")
                self._pause = 5.0
            await asyncio.sleep(self._pause * random.uniform(0.7, 1.0))  # noqa: S311 - spreads load, guards nothing

    async def _watch(self) -> None:
        pruned_at = time.time()
        request = WatchRevocationsRequest(after_revision=self._revocations.revision)
        try:
            async for batch in self._stub.WatchRevocations(request, timeout=_WATCH_LIFE):
                self._revocations.apply(batch.revocations, batch.revision, batch.reset)
                self._pause = _FIRST_PAUSE
                if not self._ready.is_set():
                    log.info("identity found", revision=batch.revision, revocations=len(self._revocations))
                    self._ready.set()
                if time.time() - pruned_at > _PRUNE_PAUSE:
                    pruned_at = time.time()
                    self._revocations.prune(pruned_at)
        except DeadlineExceededError:
            log.debug("revocation watch begins again", revision=self._revocations.revision)
