"""The metadata API as an aiohttp application: which guest asks? The role knows the rest."""

import hashlib
import hmac
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import web
from prometheus_client import Counter

from gateway.metadata.options import MetadataApiOptions
from novamesh.failures import (
    AlreadyExistsError,
    Failure,
    InvalidArgumentError,
    NotFoundError,
    NotSupportedError,
    UnavailableError,
)
from novamesh.metadata.v1.metadata_service_pb2 import GetMetadataRequest, SetPasswordRequest
from novamesh.metadata.v1.metadata_service_pb2_grpc import MetadataServiceStub
from services.mesh import Node

log = structlog.get_logger("novamesh.gateway.metadata")
_REQUESTS = Counter("novamesh_gateway_metadata_requests_total", "Guests' requests for metadata.", ["status"])

_NOT_FOUND = "The resource could not be found."
_BAD_REQUEST = (
    "The server could not comply with the request since it is either malformed or otherwise incorrect."
)
_LATER = "The server is currently unavailable. Please try again at a later time."
_BROKEN = "An unknown error has occurred. Please try your request again."
_STATUS: tuple[tuple[type[Failure], int, str], ...] = (
    (NotFoundError, 404, _NOT_FOUND),
    (InvalidArgumentError, 400, _BAD_REQUEST),
    (AlreadyExistsError, 409, "There was a conflict when trying to complete your request."),
    (NotSupportedError, 501, "The server has no such ability."),
    (UnavailableError, 503, _LATER),
)


@dataclass(frozen=True)
class _Guest:
    """Who asks: an address, or an instance that a proxy has proved."""

    address: str = ""
    instance_id: str = ""
    project_id: str = ""


class _RefusedError(Exception):
    """An answer that needs no look at any record."""

    def __init__(self, status: int, explanation: str) -> None:
        super().__init__(explanation)
        self.status = status
        self.explanation = explanation


def build_metadata_app(node: Node, options: MetadataApiOptions) -> web.Application:
    """The application; the caller serves it on `open_listeners(options.metadata_listen, ...)`.

    `node` reaches the metadata role.
    """
    app = web.Application(client_max_size=options.max_password_size * 4)
    app.router.add_route("*", "/{path:.*}", _MetadataResource(node, options).answer)
    return app


class _MetadataResource:
    """Every path: which of them there are, the metadata role knows."""

    def __init__(self, node: Node, options: MetadataApiOptions) -> None:
        self._node = node
        self._options = options

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request, whatever happens, in the form that Nova's metadata API has."""
        try:
            response = await self._answer(request)
        except _RefusedError as refused:
            response = _error(refused.status, refused.explanation)
        except Failure as failure:
            response = _failed(request, failure)
        _REQUESTS.labels(response.status).inc()
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        guest = self._guest(request)
        stub = MetadataServiceStub(self._node.channel("metadata"))
        timeout = self._options.rpc_timeout
        if request.method in ("GET", "HEAD"):
            asked = GetMetadataRequest(
                address=guest.address,
                instance_id=guest.instance_id,
                project_id=guest.project_id,
                path=request.path,
            )
            answer = await stub.GetMetadata(asked, timeout=timeout)
            return web.Response(body=answer.body, headers={"Content-Type": answer.content_type})
        if request.method == "POST" and request.path.rstrip("/").endswith("/password"):
            told = SetPasswordRequest(
                address=guest.address,
                instance_id=guest.instance_id,
                project_id=guest.project_id,
                password=await self._password(request),
            )
            await stub.SetPassword(told, timeout=timeout)
            return web.Response()
        raise _RefusedError(405, "The method is not allowed for this resource.")

    async def _password(self, request: web.Request) -> bytes:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise _RefusedError(400, "Request is too large.") from error
        if len(body) > self._options.max_password_size:
            raise _RefusedError(400, "Request is too large.")
        return body

    def _guest(self, request: web.Request) -> _Guest:
        if self._options.service_metadata_proxy and "X-Instance-ID" in request.headers:
            return self._proved(request)
        address = request.remote or ""
        if self._options.use_forwarded_for:
            # The last is what our own proxy saw; those before it are what it was told.
            forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            address = forwarded or address
        return _Guest(address=address)

    def _proved(self, request: web.Request) -> _Guest:
        given = {}
        for name in ("X-Instance-ID", "X-Tenant-ID", "X-Instance-ID-Signature"):
            values = request.headers.getall(name, [])
            if len(values) > 1 or "," in "".join(values):
                raise _RefusedError(400, f"Multiple {name} headers found within request.")
            if not "".join(values).isascii():
                raise _RefusedError(400, f"The {name} header is not text.")
            given[name] = values[0] if values else ""
        if not given["X-Tenant-ID"]:
            raise _RefusedError(400, "X-Tenant-ID header is missing from request.")
        instance_id = given["X-Instance-ID"]
        secret = self._options.metadata_proxy_shared_secret.encode()
        expected = hmac.new(secret, instance_id.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), given["X-Instance-ID-Signature"].encode()):
            log.warning("metadata request with a wrong signature", remote=request.remote)
            raise _RefusedError(403, "Invalid proxy request signature.")
        return _Guest(instance_id=instance_id, project_id=given["X-Tenant-ID"])


def _failed(request: web.Request, failure: Failure) -> web.Response:
    for kind, status, explanation in _STATUS:
        if isinstance(failure, kind):
            if status >= 500:
                log.warning("metadata not answered", remote=request.remote, error=failure.message)
            return _error(status, explanation)
    log.error("metadata failed", remote=request.remote, path=request.path, error=failure.message)
    return _error(500, _BROKEN)


def _error(status: int, explanation: str) -> web.Response:
    title = f"{status} {HTTPStatus(status).phrase}"
    body = (
        f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n"
        f"  {explanation}<br /><br />\n\n\n\n </body>\n</html>"
    )
    return web.Response(status=status, text=body, content_type="text/html", charset="UTF-8")
