"""What every request of the Image API passes: recognition of the user, and failures made HTTP."""

import html
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol

import orjson
import structlog
from aiohttp import web

from gateway.bodies import MalformedBodyError, parse_json
from gateway.faults import UNEXPECTED, HttpError, from_failure, render_unauthorized
from gateway.image.options import ImageApiOptions
from gateway.image.rules import RULES
from gateway.policy import Policy
from gateway.requests import check_url, passed_on_id
from novamesh.failures import (
    DriverFailureError,
    Failure,
    ImageUnacceptableError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
)
from novamesh.image.v1.image_service_pb2 import GetImageRequest
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.image.v1.member_service_pb2_grpc import MemberServiceStub
from novamesh.types.v1.image_pb2 import Image
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh import Node, calling_as

log = structlog.get_logger("novamesh.gateway")

Handler = Callable[[web.Request, RequestContext], Awaitable[web.StreamResponse]]
_REQUEST_ID = "X-Openstack-Request-Id"


class Recognizes(Protocol):
    """Who tells whom a token belongs to: gateway.auth.Authenticator."""

    async def authenticate(self, token: str) -> RequestContext:
        """The end user. Raises UnauthenticatedError, UnavailableError."""


class Edge:
    """What the Image API's resources share: stubs, policy, options, and the way in."""

    def __init__(self, node: Node, authenticator: Recognizes, options: ImageApiOptions) -> None:
        """Raises OSError or ValueError naming the policy file when it can't be used."""
        self.options = options
        self.policy = Policy(RULES, options.policy_file)
        self.images = ImageServiceStub(node.channel("image"))
        self.members = MemberServiceStub(node.channel("image"))
        self._authenticator = authenticator

    def guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The handler as aiohttp calls it: for a recognised user, with failures answered."""

        async def answer(request: web.Request) -> web.StreamResponse:
            request_id = f"req-{uuid.uuid4()}"
            try:
                check_url(request.rel_url.raw_path, request.rel_url.raw_query_string)
                context = await self._context(request, request_id)
                with calling_as(context):
                    response = await handler(request, context)
            except UnauthenticatedError:
                response = self._unauthenticated()
            except Failure as failure:
                error = _http(failure)
                if error.status >= 500:
                    log.warning(
                        "image request failed",
                        request_id=request_id,
                        failure=type(failure).__name__,
                        reason=failure.message,
                    )
                response = self._failed(request, error)
            except HttpError as error:
                response = self._failed(request, error)
            except web.HTTPException as error:
                response = self._failed(request, HttpError(error.status, error.reason or ""))
            except ConnectionError:
                # The client has gone; nobody reads the answer.
                response = web.Response(status=400)
            except Exception:
                log.exception("image request failed", request_id=request_id, path=request.path)
                response = self._failed(request, HttpError(500, UNEXPECTED))
            if not response.prepared:
                response.headers[_REQUEST_ID] = request_id
            return response

        return answer

    async def image(self, context: RequestContext, image_id: str, rule: str) -> Image:
        """The image, when the user may see it and policy allows `rule` on it.

        Raises NotFoundError, HttpError 403.
        """
        answer = await self.images.GetImage(
            GetImageRequest(image_id=image_id), timeout=self.options.rpc_timeout
        )
        self.require(context, rule, answer.image.owner)
        return answer.image

    def require(self, context: RequestContext, rule: str, project_id: str | None = None) -> None:
        """Raise HttpError 403 unless policy allows `rule` on what is the project's (None: the caller's)."""
        if not self.policy.allows(rule, context, project_id=project_id):
            raise HttpError(403, f"Policy doesn't allow {rule} to be performed.")

    async def _context(self, request: web.Request, request_id: str) -> RequestContext:
        context = RequestContext()
        context.CopyFrom(await self._authenticator.authenticate(request.headers.get("X-Auth-Token", "")))
        context.request_id = request_id
        context.global_request_id = passed_on_id(request.headers.get(_REQUEST_ID, ""))
        context.remote_address = request.remote or ""
        return context

    def _unauthenticated(self) -> web.Response:
        return web.Response(
            status=401,
            body=render_unauthorized(),
            content_type="application/json",
            headers={"WWW-Authenticate": f'Keystone uri="{self.options.identity_url}"'},
        )

    def _failed(self, request: web.Request, error: HttpError) -> web.Response:
        return render(request, error)


def render(request: web.Request, error: HttpError) -> web.Response:
    """An error as Glance shows it: a page, or JSON for who prefers that."""
    title = _title(error.status)
    status = f"{error.status} {title}"
    accept = request.headers.get("Accept", "*/*")
    if "html" in accept or "*/*" in accept or not accept:
        text = (
            f"<html>\n <head>\n  <title>{status}</title>\n </head>\n <body>\n  <h1>{status}</h1>\n"
            f"  {html.escape(error.message, quote=False)}<br /><br />\n\n\n </body>\n</html>"
        )
        return web.Response(
            status=error.status, text=text, content_type="text/html", charset="utf-8", headers=error.headers
        )
    if "json" in accept:
        body = orjson.dumps({"message": error.message, "code": status, "title": title})
        return web.Response(
            status=error.status, body=body, content_type="application/json", headers=error.headers
        )
    return web.Response(status=error.status, text=f"{status}\n\n{error.message}", headers=error.headers)


def json(body: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


async def read_json(request: web.Request) -> object:
    """The request's JSON body. Raises HttpError 400, and 413 when it is too long."""
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise HttpError(413, "The body of the request is too large.") from error
    if not body:
        raise HttpError(400, "Body expected in request.")
    try:
        return parse_json(body)
    except MalformedBodyError as error:
        raise HttpError(400, f"Malformed JSON in request body: {error}") from None


def _http(failure: Failure) -> HttpError:
    """Glance's status of a failure, where it differs from the Compute API's."""
    if isinstance(failure, ResourceExhaustedError):
        return HttpError(413, failure.message)
    if isinstance(failure, ImageUnacceptableError):
        return HttpError(409, failure.message)
    if isinstance(failure, PermissionDeniedError):
        return HttpError(403, failure.message)
    if isinstance(failure, DriverFailureError):
        return HttpError(503, failure.message)
    return from_failure(failure)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
