"""One REST API as an aiohttp application: from the bytes of a request to the bytes of an answer.

Everything that all operations share happens here, once, in this order: request id, authentication, route,
microversion, query, body, policy, handler, and the rendering of what came out, failures included.
"""

import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl
from uuid import uuid4

import orjson
import structlog
from aiohttp import web
from multidict import CIMultiDict
from prometheus_client import Histogram

from gateway import microversions
from gateway.bodies import MalformedBodyError, parse_json
from gateway.faults import UNEXPECTED, HttpError, from_failure, render, render_unauthorized
from gateway.microversions import Negotiator
from gateway.options import GatewayOptions
from gateway.policy import ADMIN_RULE, Policy
from gateway.requests import Answer, ApiRequest, check_url, host_of, passed_on_id
from gateway.routes import Compiled, Match, RouteTree
from gateway.schemas import Schema, check_body, check_query
from novamesh.failures import Failure, UnauthenticatedError
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh import calling_as

log = structlog.get_logger("novamesh.gateway")

_SECONDS = Histogram(
    "novamesh_gateway_request_seconds",
    "Time from a parsed request to its answer.",
    ("api", "route", "status"),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)

_JSON_TYPES = frozenset({"application/json", "text/plain", "", "application/octet-stream"})
_MAX_QUERY_FIELDS = 500
_NOT_FOUND = "The resource could not be found."
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True)
class LegacyFace:
    """The same routes as they were before microversions: without version headers, and lenient."""

    prefix: str
    """`/v2`."""
    relax: Callable[[Schema, Any], Any]
    """What is left of a body once everything is gone that its schema does not know."""


class TokenReader(Protocol):
    """Recognises callers; gateway.auth.Authenticator does."""

    async def authenticate(self, token: str, /) -> RequestContext:
        """The end user that the token belongs to, shared between requests. Raises UnauthenticatedError."""


@dataclass(frozen=True)
class Api:
    """What makes one API: where it lives, its routes, its rules and what its handlers share."""

    name: str
    """`compute`: the service type of version headers, and a label of metrics."""
    prefix: str
    """`/v2.1`."""
    routes: RouteTree
    policy: Policy
    negotiator: Negotiator
    state: object
    documents: Mapping[str, Callable[[str], tuple[int, object]]]
    """Unauthenticated version documents by path: from the application's URL to status and body."""
    unknown_prefix: Callable[[str, str], tuple[int, object] | None]
    """The answer for a path outside the prefix, from URL and path; None for 404."""
    legacy: LegacyFace | None = None
    """The same routes for clients from before microversions; None for none."""
    owner: Callable[[ApiRequest[Any]], Awaitable[tuple[str, str] | None]] | None = None
    """Project and user of what a path names, for rules that ask for the user; None for the caller's own."""


@dataclass(slots=True)
class _Exchange:
    """What is known of a request while it is answered, for headers, metrics and the log."""

    request_id: str
    version: str | None = None
    label: str = ""
    context: RequestContext | None = None


class ApiServer:
    """Answers every request of one API."""

    def __init__(self, api: Api, authenticator: TokenReader, options: GatewayOptions) -> None:
        self._api = api
        self._authenticator = authenticator
        self._options = options
        # Where paths begin: today's face, and the one from before microversions.
        self._faces = tuple(
            prefix + "/" for prefix in (api.prefix, api.legacy.prefix if api.legacy else "") if prefix
        )
        self._challenge = {"WWW-Authenticate": f'Keystone uri="{options.identity_url}"'}
        self._admins: dict[tuple[str, ...], bool] = {}
        self._timers: dict[tuple[str, int], Any] = {}

    def application(self) -> web.Application:
        """The aiohttp application to serve."""
        app = web.Application(client_max_size=self._options.max_request_body_size)
        # Everything, line feeds included: a dot alone would leave those to aiohttp's own 404.
        app.router.add_route("*", r"/{path:[\s\S]*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request; raises nothing but cancellation."""
        started = time.perf_counter()
        exchange = _Exchange(f"req-{uuid4()}")
        try:
            response = await self._answer(request, exchange)
        except HttpError as error:
            response = self._error(error)
        except UnauthenticatedError:
            response = web.Response(
                status=401, body=render_unauthorized(), headers=CIMultiDict(self._challenge)
            )
            response.content_type = "application/json"
        except Failure as failure:
            rendered = from_failure(failure)
            if rendered.status >= 500:
                log.warning(
                    "request failed",
                    request_id=exchange.request_id,
                    failure=type(failure).__name__,
                    reason=failure.message,
                )
            response = self._error(rendered)
        except web.RequestPayloadError:
            response = self._error(HttpError(400, "Malformed request body"))
        except web.HTTPRequestEntityTooLarge:
            response = self._error(HttpError(413, "Request is too large."))
        except Exception:
            # As text: a traceback with the values of variables would log the caller's token.
            log.error(
                "unexpected error",
                request_id=exchange.request_id,
                route=exchange.label,
                traceback=traceback.format_exc(),
            )
            response = self._error(HttpError(500, UNEXPECTED))
        headers = response.headers
        headers["X-Openstack-Request-Id"] = exchange.request_id
        headers["X-Compute-Request-Id"] = exchange.request_id
        if exchange.version is not None:
            headers[microversions.HEADER] = f"{self._api.name} {exchange.version}"
            headers[microversions.LEGACY_HEADER] = exchange.version
            headers["Vary"] = microversions.VARY
        self._record(request, response, exchange, time.perf_counter() - started)
        return response

    async def _answer(self, request: web.Request, exchange: _Exchange) -> web.Response:
        path = request.rel_url.raw_path
        document = self._api.documents.get(path)
        if document is not None:
            if request.method not in ("GET", "HEAD"):
                raise HttpError(405, "The method is not allowed here.", {"Allow": "GET, HEAD"})
            return _json(*document(self._application_url(request)))
        for under in self._faces:
            if path.startswith(under):
                return await self._operate(request, exchange, under)
        found = self._api.unknown_prefix(self._application_url(request), path)
        if found is None:
            raise HttpError(404, _NOT_FOUND)
        return _json(*found)

    def _find(self, request: web.Request, under: str, context: RequestContext) -> Match:
        """What a path below a face leads to. Raises HttpError 404."""
        path = request.rel_url.raw_path
        check_url(path, request.rel_url.raw_query_string)
        match = self._api.routes.match(path[len(under) :].strip("/").split("/"))
        # A word that is neither a route nor the caller's project.
        stray = match is not None and match.path_info == "/" and match.project != context.project_id
        if match is None or stray or (path.endswith("/") and match.path_info != "/"):
            # What `/images/` names is an image with an empty id.
            raise HttpError(404, _NOT_FOUND)
        return match

    async def _operate(self, request: web.Request, exchange: _Exchange, under: str) -> web.Response:
        """Answer what is asked below `/v2.1/` or `/v2/`."""
        context = await self._authenticate(request, exchange)
        match = self._find(request, under, context)
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = match.endpoints.get(method)
        if endpoint is None:
            allowed = {"Allow": _allowed(match.endpoints)}
            if method == "OPTIONS":
                return web.Response(status=204, headers=allowed)
            raise HttpError(405, "The method is not allowed for this resource.", allowed)
        if match.project and match.project != context.project_id:
            raise HttpError(
                400,
                f"Malformed request URL: URL's project_id '{match.project}' doesn't match "
                f"Context's project_id '{context.project_id}'",
            )
        legacy = under != self._faces[0]
        minor = microversions.MINIMUM
        if not legacy:
            minor = self._api.negotiator.negotiate(request.headers)
            exchange.version = f"2.{minor}"

        call: ApiRequest[Any] = ApiRequest(self._api.state, self._api.policy, context, tuple(context.roles))
        call.minor = minor
        call.legacy = legacy
        call.prefix = under[:-1]
        call.path = match.parameters
        call.path_info = match.path_info
        call.application_url = self._application_url(request)
        if match.project:
            call.url_project = "/" + match.project
        if endpoint.is_action:
            call.body = await self._read_body(request)
            compiled = endpoint.find_action(minor, _action_name(call.body))
        else:
            compiled = endpoint.find(minor)
            if request.method in _METHODS_WITH_BODY:
                call.body = await self._read_body(request)
        exchange.label = compiled.route.label
        self._check(call, compiled, request.rel_url.raw_query_string)
        with calling_as(context):
            call.require(compiled.rule, *(await self._owner(call, compiled.rule) or ()))
            result = await compiled.handler(call)
        return _respond(result, compiled.status)

    async def _owner(self, call: ApiRequest[Any], rule: str) -> tuple[str, str] | None:
        """Project and user that the rule is asked with; None for the caller's own."""
        if self._api.owner is None or not call.policy.asks_for_user(rule):
            return None
        return await self._api.owner(call)

    async def _authenticate(self, request: web.Request, exchange: _Exchange) -> RequestContext:
        token = request.headers.get("X-Auth-Token")
        if not token:
            raise UnauthenticatedError
        known = await self._authenticator.authenticate(token)
        context = RequestContext()
        context.CopyFrom(known)
        context.request_id = exchange.request_id
        context.global_request_id = passed_on_id(request.headers.get("X-Openstack-Request-Id", ""))
        context.remote_address = request.remote or ""
        context.is_admin = self._is_admin(context)
        exchange.context = context
        if not context.project_id:
            # Roles on a domain or on the whole cloud are roles on no project's servers.
            raise HttpError(403, "The Compute API needs a token that is scoped to a project.")
        return context

    def _is_admin(self, context: RequestContext) -> bool:
        roles = tuple(context.roles)
        known = self._admins.get(roles)
        if known is None:
            if len(self._admins) > 1000:
                self._admins.clear()
            known = self._api.policy.allows(ADMIN_RULE, context)
            self._admins[roles] = known
        return known

    def _check(self, call: ApiRequest[Any], compiled: Compiled, query_string: str) -> None:
        if query_string:
            call.query_string = query_string
            try:
                pairs = parse_qsl(
                    query_string, keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS, errors="strict"
                )
            except UnicodeDecodeError:
                raise HttpError(400, "Query string is not UTF-8 encoded") from None
            except ValueError:
                raise HttpError(400, f"Query string has more than {_MAX_QUERY_FIELDS} fields") from None
            for name, value in pairs:
                call.query.setdefault(name, []).append(value)
            validator = compiled.query[call.minor]
            if validator is not None:
                check_query(validator, call.query)
        if compiled.body:
            validator = compiled.body[call.minor]
            if validator is not None:
                if call.body is None:
                    raise HttpError(400, "Malformed request body")
                if call.legacy and self._api.legacy is not None and compiled.first_body is not None:
                    call.body = self._api.legacy.relax(compiled.first_body, call.body)
                check_body(validator, call.body)

    async def _read_body(self, request: web.Request) -> Any:
        if not request.body_exists:
            return None
        # aiohttp looks at the declared length only while it reads: refuse before that.
        length = request.content_length
        if length is not None and length > self._options.max_request_body_size:
            raise HttpError(413, "Request is too large.")
        data = await request.read()
        if not data:
            return None
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in _JSON_TYPES and not (kind.startswith("application/vnd.openstack.") and "json" in kind):
            raise HttpError(415, f"Unsupported Content-Type {kind}: send application/json.")
        try:
            return parse_json(data)
        except MalformedBodyError as error:
            raise HttpError(400, f"Malformed request body: {error}") from None

    def _application_url(self, request: web.Request) -> str:
        options = self._options
        if options.compute_link_prefix:
            return options.compute_link_prefix.rstrip("/")
        headers = request.headers
        if options.enable_proxy_headers_parsing:
            scheme = headers.get("X-Forwarded-Proto") or request.scheme
            host = host_of(headers.get("X-Forwarded-Host") or request.host)
            return f"{scheme}://{host}"
        return f"{request.scheme}://{host_of(request.host)}"

    def _error(self, error: HttpError) -> web.Response:
        response = web.Response(status=error.status, body=render(error), headers=CIMultiDict(error.headers))
        response.content_type = "application/json"
        return response

    def _record(
        self, request: web.Request, response: web.Response, exchange: _Exchange, seconds: float
    ) -> None:
        status = response.status
        label = exchange.label or "none"
        timer = self._timers.get((label, status))
        if timer is None:
            timer = self._timers[(label, status)] = _SECONDS.labels(self._api.name, label, str(status))
        timer.observe(seconds)
        if self._options.access_log or status >= 400 or request.method != "GET":
            context = exchange.context
            log.info(
                "request",
                method=request.method,
                path=request.rel_url.raw_path,
                status=status,
                milliseconds=round(seconds * 1000, 2),
                request_id=exchange.request_id,
                user_id=context.user_id if context else "",
                project_id=context.project_id if context else "",
            )


def _allowed(methods: Iterable[str]) -> str:
    """The value of an Allow header."""
    every = {"OPTIONS", *methods}
    if "GET" in every:
        every.add("HEAD")
    return ", ".join(sorted(every))


def _action_name(body: object) -> str:
    if not isinstance(body, dict) or not body:
        raise HttpError(400, "Malformed request body")
    name = next(iter(body))
    if len(body) > 1:
        raise HttpError(400, "Malformed request body: one action at a time")
    return str(name)


def _respond(result: object, status: int) -> web.Response:
    if isinstance(result, Answer):
        headers = CIMultiDict(result.headers)
        code = status if result.status is None else result.status
        if result.body is None:
            return web.Response(status=code, headers=headers)
        headers["Content-Type"] = "application/json"
        return web.Response(body=orjson.dumps(result.body), status=code, headers=headers)
    if result is None:
        return web.Response(status=status)
    return _json(status, result)


def _json(status: int, body: object) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=status, headers=CIMultiDict({"Content-Type": "application/json"})
    )
