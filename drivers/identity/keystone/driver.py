"""A Keystone by URL: tokens are checked there, with a service user of our own, and remembered for a while."""

import asyncio
import ssl
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog
from prometheus_client import Counter

from drivers.identity import Validated
from drivers.identity.keystone.options import KeystoneOptions
from novamesh.failures import UnauthenticatedError, UnavailableError
from novamesh.types.v1.identity_pb2 import NamedEntity, Token

log = structlog.get_logger("novamesh.identity")

_ASKED = Counter("novamesh_identity_keystone_requests_total", "Requests to Keystone.", ["outcome"])
# Seconds before its end that our own token is replaced.
_RENEW_BEFORE = 60.0
# Seconds that a refusal is remembered: a client that repeats a bad token shall not load Keystone.
_REFUSAL_TIME = 5.0


class KeystoneIdentity:
    """Users and tokens of a Keystone: IdentityDriver and nothing more."""

    name = "keystone"

    def __init__(self, options: KeystoneOptions) -> None:
        self._options = options
        url = options.auth_url.rstrip("/")
        self._url = url if url.endswith("/v3") else f"{url}/v3"
        self._session: aiohttp.ClientSession | None = None
        self._own_token = ""
        self._own_until = 0.0
        self._login = asyncio.Lock()
        # By token: the answer (None for a refusal) and until when it holds, in seconds of time.monotonic().
        self._known: OrderedDict[str, tuple[Token | None, float]] = OrderedDict()
        self._asked: dict[str, asyncio.Future[Validated]] = {}
        self._failures = 0
        self._closed_until = 0.0

    async def start(self) -> None:
        """Open the connections. A Keystone that doesn't answer yet is only logged."""
        timeout = aiohttp.ClientTimeout(total=self._options.http_connect_timeout)
        connector = aiohttp.TCPConnector(ssl=self._tls(), limit=32)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        try:
            await self._renew_own_token("")
        except (UnavailableError, UnauthenticatedError) as failure:
            log.warning("keystone not usable yet", url=self._url, reason=failure.message)

    async def stop(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def validate(self, token: str) -> Validated:
        """See IdentityDriver."""
        known = self._known.get(token)
        if known is not None and time.monotonic() < known[1]:
            self._known.move_to_end(token)
            return self._answer(*known)
        question = self._asked.get(token)
        if question is None:
            question = asyncio.ensure_future(self._validate(token))
            self._asked[token] = question
            question.add_done_callback(lambda _: self._asked.pop(token, None))
        return await asyncio.shield(question)

    def _answer(self, described: Token | None, until: float) -> Validated:
        if described is None or described.expires_at.seconds <= time.time():
            raise UnauthenticatedError("The token is unknown, has expired or was revoked.")
        return Validated(described, until - time.monotonic())

    async def _validate(self, token: str) -> Validated:
        own = await self._renew_own_token("")
        status, body = await self._subject(own, token)
        if status == 401:
            # Ours may have been revoked before its time.
            own = await self._renew_own_token(own)
            status, body = await self._subject(own, token)
        if status == 200:
            return self._answer(
                *self._remember(token, _described(body["token"]), self._options.token_cache_time)
            )
        if status == 404:
            return self._answer(*self._remember(token, None, _REFUSAL_TIME))
        if status in (401, 403):
            raise UnavailableError(
                "keystone",
                f"Keystone does not let the user {self._options.username} validate tokens: it needs the role "
                "admin or service.",
            )
        raise UnavailableError(
            "keystone", f"Keystone answered {status}.", retry_after=self._options.circuit_pause
        )

    def _remember(self, token: str, described: Token | None, seconds: float) -> tuple[Token | None, float]:
        known = (described, time.monotonic() + seconds)
        self._known[token] = known
        self._known.move_to_end(token)
        if len(self._known) > self._options.token_cache_size:
            self._known.popitem(last=False)
        return known

    async def _subject(self, own: str, token: str) -> tuple[int, Any]:
        headers = {"X-Auth-Token": own, "X-Subject-Token": token}
        status, body, _ = await self._request("GET", "/auth/tokens?nocatalog", headers=headers)
        return status, body

    async def _renew_own_token(self, refused: str) -> str:
        """Our own token; another than the one that was refused."""
        async with self._login:
            if self._own_token and self._own_token != refused and time.time() < self._own_until:
                return self._own_token
            options = self._options
            user = {"name": options.username, "domain": {"name": options.user_domain_name}}
            project = {"name": options.project_name, "domain": {"name": options.project_domain_name}}
            body = {
                "auth": {
                    "identity": {
                        "methods": ["password"],
                        "password": {"user": {**user, "password": options.password}},
                    },
                    "scope": {"project": project},
                }
            }
            status, answer, headers = await self._request("POST", "/auth/tokens?nocatalog", json=body)
            if status != 201:
                raise UnavailableError(
                    "keystone", f"Keystone answered {status} to the login of the user {options.username}."
                )
            self._own_token = headers["X-Subject-Token"]
            self._own_until = _seconds(answer["token"]["expires_at"]) - _RENEW_BEFORE
            return self._own_token

    async def _request(self, method: str, path: str, **arguments: Any) -> tuple[int, Any, Any]:
        """Status, body and headers. Raises UnavailableError, at once while the circuit is open."""
        if self._session is None:
            raise UnavailableError("keystone", "The keystone driver was not started.")
        wait = self._closed_until - time.monotonic()
        if wait > 0:
            raise UnavailableError("keystone", "Keystone does not answer.", retry_after=wait)
        for attempt in range(self._options.http_request_max_retries + 1):
            try:
                async with self._session.request(method, self._url + path, **arguments) as answer:
                    if answer.status < 500:
                        body = await answer.json(content_type=None) if answer.status in (200, 201) else None
                        self._failures = 0
                        _ASKED.labels(str(answer.status)).inc()
                        return answer.status, body, answer.headers
                    reason = f"status {answer.status}"
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                reason = type(error).__name__
            _ASKED.labels("failed").inc()
            log.warning("keystone does not answer", url=self._url, reason=reason, attempt=attempt + 1)
        self._failures += 1
        if self._failures >= self._options.circuit_failures:
            self._closed_until = time.monotonic() + self._options.circuit_pause
        raise UnavailableError(
            "keystone", f"Keystone at {self._url} does not answer.", retry_after=self._options.circuit_pause
        )

    def _tls(self) -> ssl.SSLContext | bool:
        if self._options.insecure:
            return False
        if self._options.cafile:
            return ssl.create_default_context(cafile=self._options.cafile)
        return True


def _seconds(moment: str) -> float:
    """Keystone's `2026-01-31T12:00:00.000000Z` in seconds since 1970."""
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def _described(token: dict[str, Any]) -> Token:
    user = token["user"]
    described = Token(
        audit_ids=token.get("audit_ids", []),
        methods=token.get("methods", []),
        user=NamedEntity(
            id=user["id"],
            name=user["name"],
            domain_id=user["domain"]["id"],
            domain_name=user["domain"]["name"],
        ),
        roles=[NamedEntity(id=role["id"], name=role["name"]) for role in token.get("roles", [])],
    )
    described.issued_at.FromMicroseconds(int(_seconds(token["issued_at"]) * 1e6))
    described.expires_at.seconds = int(_seconds(token["expires_at"]))
    if "project" in token:
        project = token["project"]
        described.project.CopyFrom(
            NamedEntity(
                id=project["id"],
                name=project["name"],
                domain_id=project["domain"]["id"],
                domain_name=project["domain"]["name"],
            )
        )
    if "domain" in token:
        described.domain.CopyFrom(NamedEntity(id=token["domain"]["id"], name=token["domain"]["name"]))
    return described
