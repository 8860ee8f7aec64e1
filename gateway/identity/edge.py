"""What every request of the Identity API passes: recognition of the user, and failures made HTTP."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler as AiohttpHandler

from gateway.auth import Authenticator
from gateway.bodies import MalformedBodyError, parse_json
from gateway.faults import UNEXPECTED, HttpError, from_failure
from gateway.identity.options import IdentityApiOptions
from gateway.identity.rules import RULES
from gateway.identity.schemas import Checker
from gateway.policy import Policy
from gateway.requests import check_url, host_of
from novamesh.conductor.v1.application_credential_service_pb2_grpc import ApplicationCredentialServiceStub
from novamesh.conductor.v1.domain_service_pb2_grpc import DomainServiceStub
from novamesh.conductor.v1.project_service_pb2_grpc import ProjectServiceStub
from novamesh.conductor.v1.role_service_pb2_grpc import RoleServiceStub
from novamesh.conductor.v1.user_service_pb2_grpc import UserServiceStub
from novamesh.failures import Failure, ResourceExhaustedError, UnauthenticatedError
from novamesh.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from novamesh.identity.v1.token_service_pb2_grpc import TokenServiceStub
from novamesh.types.v1.identity_pb2 import Token
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh import Node, calling_as

log = structlog.get_logger("novamesh.gateway")

_REQUEST_ID = "X-Openstack-Request-Id"


@dataclass
class Exchange:
    """One request on its way: who asks, what for."""

    request: web.Request
    context: RequestContext
    # The caller's own token, as it was sent and as it reads; empty for nobody.
    token_text: str = ""
    token: Token = field(default_factory=Token)

    def path(self, name: str) -> str:
        """A part of the path."""
        return self.request.match_info[name]

    def flag(self, name: str) -> bool:
        """True for `?name`, `?name=1` and `?name=true`; false for `?name=0` and none."""
        value = self.request.query.get(name)
        return value is not None and value.lower() not in ("0", "false", "no")


@dataclass(frozen=True)
class Reply:
    """What to answer; no body for None."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Exchange], Awaitable[Reply]]


class Edge:
    """What the Identity API's resources share: stubs, policy, options, and the way in."""

    def __init__(self, node: Node, authenticator: Authenticator, options: IdentityApiOptions) -> None:
        """Raises OSError or ValueError naming the policy file when it can't be used."""
        conductor, identity = node.channel("conductor"), node.channel("identity")
        self.options = options
        self.policy = Policy(RULES, options.policy_file)
        self.authenticator = authenticator
        self.tokens = TokenServiceStub(identity)
        self.credentials = CredentialServiceStub(identity)
        self.domains = DomainServiceStub(conductor)
        self.projects = ProjectServiceStub(conductor)
        self.users = UserServiceStub(conductor)
        self.roles = RoleServiceStub(conductor)
        self.application_credentials = ApplicationCredentialServiceStub(conductor)

    def guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The handler as aiohttp calls it, for callers with a token."""
        return self._way_in(handler, needs_token=True)

    def open(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The handler as aiohttp calls it, for everybody."""
        return self._way_in(handler, needs_token=False)

    def require(
        self, exchange: Exchange, rule: str, *, project_id: str | None = None, user_id: str | None = None
    ) -> None:
        """Raise HttpError 403 unless the rule lets the caller act on what belongs to project and user.

        Give an empty id for what belongs to nobody in particular.
        """
        allowed = self.policy.allows(
            rule, exchange.context, project_id=project_id or "", user_id=user_id or ""
        )
        if not allowed:
            raise HttpError(403, f"You are not authorized to perform the requested action: {rule}.")

    async def body(self, exchange: Exchange, checker: Checker) -> dict[str, Any]:
        """The request's body. Raises HttpError 400, 413 or 415 that says what is wrong."""
        request = exchange.request
        if (request.content_length or 0) > self.options.max_request_body_size:
            raise HttpError(413, "Request is too large.")
        if request.content_type not in ("application/json", "application/octet-stream"):
            raise HttpError(415, f"Unsupported Content-Type {request.content_type}: send application/json.")
        try:
            loaded = parse_json(await request.read())
        except MalformedBodyError as error:
            raise HttpError(400, f"The request body can't be used: {error}") from None
        checker.check(loaded)
        return dict(loaded)

    def url(self, exchange: Exchange, path: str = "") -> str:
        """An absolute URL below the application's own."""
        request = exchange.request
        base = self.options.public_endpoint.rstrip("/") or f"{request.scheme}://{host_of(request.host)}"
        return base + path

    def links(self, exchange: Exchange) -> dict[str, str | None]:
        """The links of a list, which is always whole."""
        return {"next": None, "self": self.url(exchange, exchange.request.path_qs), "previous": None}

    @web.middleware
    async def render_unrouted(self, request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
        """aiohttp's own answers to unknown paths and methods, in Keystone's form."""
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as error:
            allowed = {"Allow": ", ".join(sorted(error.allowed_methods))}
            return self._failed(HttpError(405, "The method is not allowed for this resource.", allowed))
        except web.HTTPNotFound:
            return self._failed(HttpError(404, "The resource could not be found."))

    def _way_in(
        self, handler: Handler, *, needs_token: bool
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            request_id = f"req-{uuid.uuid4()}"
            try:
                check_url(request.rel_url.raw_path, request.rel_url.raw_query_string)
                exchange = await self._recognise(request, request_id, needs_token)
                with calling_as(exchange.context):
                    reply = await handler(exchange)
                response = _respond(reply)
            except HttpError as error:
                response = self._failed(error)
            except Failure as failure:
                response = self._failed(self._http(failure, request_id))
            except web.HTTPRequestEntityTooLarge:
                response = self._failed(HttpError(413, "Request is too large."))
            except ConnectionError:
                # The client has gone; nobody reads the answer.
                response = web.Response(status=400)
            except Exception:
                log.exception("identity request failed", request_id=request_id, path=request.path)
                response = self._failed(HttpError(500, UNEXPECTED))
            response.headers[_REQUEST_ID] = request_id
            response.headers["Vary"] = "X-Auth-Token"
            return response

        return answer

    async def _recognise(self, request: web.Request, request_id: str, needs_token: bool) -> Exchange:
        context = RequestContext(request_id=request_id, remote_address=request.remote or "")
        text = request.headers.get("X-Auth-Token", "")
        if not needs_token:
            return Exchange(request, context, text)
        if not text:
            raise UnauthenticatedError
        context.MergeFrom(await self.authenticator.authenticate(text))
        context.request_id = request_id
        return Exchange(request, context, text, await self.authenticator.describe(text))

    def _http(self, failure: Failure, request_id: str) -> HttpError:
        if isinstance(failure, UnauthenticatedError):
            return HttpError(401, failure.message)
        if isinstance(failure, ResourceExhaustedError):
            return HttpError(503, failure.message, {"Retry-After": "1"})
        error = from_failure(failure)
        if error.status >= 500:
            log.warning(
                "identity request failed",
                request_id=request_id,
                failure=type(failure).__name__,
                reason=failure.message,
            )
        return error

    def _failed(self, error: HttpError) -> web.Response:
        headers = dict(error.headers)
        if error.status == 401:
            headers["WWW-Authenticate"] = f'Keystone uri="{self.options.identity_url}"'
        body = {"code": error.status, "message": error.message, "title": HTTPStatus(error.status).phrase}
        return _respond(Reply({"error": body}, error.status, headers))


def _respond(reply: Reply) -> web.Response:
    if reply.body is None:
        return web.Response(status=reply.status, headers=dict(reply.headers))
    return web.Response(
        status=reply.status,
        body=orjson.dumps(reply.body),
        content_type="application/json",
        headers=dict(reply.headers),
    )
