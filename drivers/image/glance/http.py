"""Requests to a Glance, with a token that is renewed, and its refusals as failures."""

import asyncio
import html
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import orjson
import structlog

from drivers.image.glance.options import GlanceOptions
from novamesh.failures import (
    Failure,
    ImageUnacceptableError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
)

log = structlog.get_logger("novamesh.image")

_PART = "glance"
# Idle connections are dropped before Glance's server does it: a request with data that meets a connection
# that is being closed can't be sent again.
_IDLE_SECONDS = 1.0
# Seconds before its end that a token isn't used any more.
_TOKEN_MARGIN = 60.0
_TAGS = re.compile(r"<title>.*?</title>|<h1>.*?</h1>|<[^>]*>", re.DOTALL)


@dataclass(frozen=True)
class Request:
    """One request about one image (`image_id` empty: about none), for its failures."""

    method: str
    path: str
    image_id: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """JSON-able, or an async iterator of bytes."""


class GlanceHttp:
    """A session with one Glance."""

    def __init__(self, options: GlanceOptions) -> None:
        self._options = options
        self._base = options.endpoint_override.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._token_ends = 0.0
        self._login = asyncio.Lock()

    async def start(self) -> None:
        """Open the session, log in, ask for the versions. Raises UnavailableError naming what is missing."""
        trust: ssl.SSLContext | bool = True
        if self._options.cafile:
            trust = await asyncio.to_thread(ssl.create_default_context, cafile=self._options.cafile)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._options.timeout, sock_read=self._options.timeout
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=0, keepalive_timeout=_IDLE_SECONDS),
            timeout=timeout,
            json_serialize=_dumps,
        )
        async with self.open(Request("GET", "/versions")):
            pass

    async def stop(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def json(self, request: Request) -> Any:
        """The parsed answer; None when it has no body."""
        async with self.open(request) as response:
            body = await response.read()
        return orjson.loads(body) if body else None

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer, its body unread. Raises failures for every other."""
        try:
            async with await self._send(request) as response:
                if response.status >= 300:
                    raise _failure(request, response.status, await response.text(errors="replace"))
                yield response
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise UnavailableError(
                _PART, f"Glance at {self._base} does not answer: {_said(error)}"
            ) from error

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        response = await self._send_once(request)
        if response.status == 401 and _repeatable(request):
            # The token was revoked, or Keystone forgot its keys: once more with a new one.
            response.release()
            self._token_ends = 0.0
            response = await self._send_once(request)
        return response

    async def _send_once(self, request: Request) -> aiohttp.ClientResponse:
        assert self._session is not None, "start() comes first"
        headers = {**request.headers, "X-Auth-Token": await self._valid_token()}
        body = request.body
        if body is not None and not isinstance(body, AsyncIterator):
            body = orjson.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        return await self._session.request(
            request.method, self._base + request.path, params=request.parameters, headers=headers, data=body
        )

    async def _valid_token(self) -> str:
        if time.time() < self._token_ends - _TOKEN_MARGIN:
            return self._token
        async with self._login:
            if time.time() >= self._token_ends - _TOKEN_MARGIN:
                await self._log_in()
            return self._token

    async def _log_in(self) -> None:
        options = self._options
        user = {
            "name": options.username,
            "password": options.password,
            "domain": {"name": options.user_domain_name},
        }
        project = {"name": options.project_name, "domain": {"name": options.project_domain_name}}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": project},
            }
        }
        assert self._session is not None, "start() comes first"
        url = f"{options.auth_url.rstrip('/')}/auth/tokens"
        try:
            async with self._session.post(url, json=body) as response:
                if response.status != 201:
                    raise UnavailableError(
                        "keystone",
                        f"Keystone refused the image service's user {options.username} ({response.status}).",
                    )
                token = response.headers["X-Subject-Token"]
                described = orjson.loads(await response.read())["token"]
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise UnavailableError(
                "keystone", f"Keystone at {url} does not answer: {_said(error)}"
            ) from error
        self._token = token
        self._token_ends = datetime.fromisoformat(described["expires_at"]).timestamp()
        log.info("logged in for glance", user=options.username)


def _dumps(body: object) -> str:
    return orjson.dumps(body).decode()


def _repeatable(request: Request) -> bool:
    return not isinstance(request.body, AsyncIterator)


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _failure(request: Request, status: int, text: str) -> Failure:
    said = " ".join(html.unescape(_TAGS.sub(" ", text)).split())[:500] or f"status {status}"
    image_id = request.image_id
    match status:
        case 404:
            return NotFoundError("image", image_id)
        case 401:
            return UnavailableError(_PART, "Glance refused the image service's own token.")
        case 403:
            return PermissionDeniedError("glance", said)
        case 400:
            return InvalidArgumentError("image", said)
        case 409 | 410:
            return ImageUnacceptableError(image_id, "status", said)
        case 413:
            return ResourceExhaustedError("image", said)
        case 415:
            return InvalidArgumentError("disk_format", said)
        case 416:
            return InvalidArgumentError("offset", said)
        case _:
            return UnavailableError(_PART, f"Glance answered {status}: {said}")
