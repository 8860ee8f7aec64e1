"""Key pairs of users."""

from collections.abc import Callable
from typing import Any

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.ssh_keys import make_certificate, make_pair, ssh_fingerprint, x509_fingerprint
from gateway.compute.views import times
from gateway.compute.views.links import next_links, page_limit
from gateway.faults import HttpError
from gateway.routes import Route
from gateway.schemas import Schema, worded_pattern
from novamesh.conductor.v1.keypair_service_pb2 import (
    CreateKeypairRequest,
    DeleteKeypairRequest,
    GetKeypairRequest,
    Keypair,
    ListKeypairsRequest,
    ListKeypairsResponse,
)
from novamesh.failures import AlreadyExistsError, NotFoundError, QuotaExceededError

_RULE = "os_compute_api:os-keypairs:"


def _owner(call: ComputeRequest, action: str, wanted: str | None) -> str:
    """Whose key pairs: the caller's, or from 2.10 on another user's where policy allows it."""
    user_id = wanted if wanted and call.minor >= 10 else call.context.user_id
    call.require(_RULE + action, user_id=user_id)
    return user_id


async def index(call: ComputeRequest) -> object:
    """GET /os-keypairs, up to 2.34: all of them."""
    request = ListKeypairsRequest(user_id=_owner(call, "index", call.first("user_id")))
    found: list[Keypair] = []
    while True:
        answer = await _list(call, request)
        found += answer.keypairs
        if not answer.more:
            return {"keypairs": [{"keypair": _brief(call, keypair)} for keypair in found]}
        request = ListKeypairsRequest(user_id=request.user_id, marker=found[-1].name)


async def page(call: ComputeRequest) -> object:
    """GET /os-keypairs, in pages, from 2.35 on."""
    request = ListKeypairsRequest(
        user_id=_owner(call, "index", call.first("user_id")),
        page_size=page_limit(call),
        marker=call.last("marker") or "",
    )
    answer = await _list(call, request) if request.page_size else ListKeypairsResponse()
    shown = [{"keypair": _brief(call, keypair)} for keypair in answer.keypairs]
    listed: dict[str, object] = {"keypairs": shown}
    if shown and (links := next_links(call, shown, answer.keypairs[-1].name)):
        listed["keypairs_links"] = links
    return listed


async def _list(call: ComputeRequest, request: ListKeypairsRequest) -> ListKeypairsResponse:
    try:
        answer: ListKeypairsResponse = await call.state.keypairs.ListKeypairs(
            request, timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(400, f"marker [{request.marker}] not found") from None
    return answer


# (field, its value, the microversion that brought it)
FIELDS: tuple[tuple[str, Callable[[Keypair], Any], int], ...] = (
    ("name", lambda keypair: keypair.name, 1),
    ("public_key", lambda keypair: keypair.public_key, 1),
    ("fingerprint", lambda keypair: keypair.fingerprint, 1),
    ("type", lambda keypair: keypair.type or "ssh", 2),
)


def _brief(call: ComputeRequest, keypair: Keypair) -> dict[str, Any]:
    return {name: value(keypair) for name, value, first in FIELDS if first <= call.minor}


async def show(call: ComputeRequest) -> object:
    """GET /os-keypairs/{id}."""
    name = call.path["id"]
    user_id = _owner(call, "show", call.first("user_id"))
    try:
        answer = await call.state.keypairs.GetKeypair(
            GetKeypairRequest(user_id=user_id, name=name), timeout=call.state.timeout
        )
    except NotFoundError:
        raise _missing(name, user_id) from None
    keypair = answer.keypair
    return {
        "keypair": {
            **_brief(call, keypair),
            "user_id": keypair.user_id,
            "id": keypair.number,
            "created_at": times.microseconds(keypair.created_at),
            "updated_at": None,
            "deleted": False,
            "deleted_at": None,
        }
    }


async def create(call: ComputeRequest) -> object:
    """POST /os-keypairs: import a public key or, up to 2.91, make a pair."""
    given = call.body["keypair"]
    user_id = _owner(call, "create", given.get("user_id"))
    kind = given.get("type", "ssh")
    keypair = Keypair(user_id=user_id, name=given["name"], type=kind)
    private_key = None
    if "public_key" in given:
        keypair.public_key = given["public_key"].strip()
        keypair.fingerprint = _fingerprint(keypair.public_key, kind)
    else:
        made = await (make_certificate(user_id) if kind == "x509" else make_pair())
        keypair.public_key, keypair.fingerprint, private_key = (
            made.public_key,
            made.fingerprint,
            made.private_key,
        )
    try:
        await call.state.keypairs.CreateKeypair(
            CreateKeypairRequest(keypair=keypair), timeout=call.state.timeout
        )
    except AlreadyExistsError:
        raise HttpError(409, f"Key pair '{keypair.name}' already exists.") from None
    except QuotaExceededError:
        raise HttpError(403, "Quota exceeded, too many key pairs.") from None
    shown = {**_brief(call, keypair), "user_id": user_id}
    if private_key is not None:
        shown["private_key"] = private_key
    return {"keypair": shown}


def _fingerprint(public_key: str, kind: str) -> str:
    try:
        return x509_fingerprint(public_key) if kind == "x509" else ssh_fingerprint(public_key)
    except ValueError as error:
        raise HttpError(400, str(error)) from None


async def delete(call: ComputeRequest) -> None:
    """DELETE /os-keypairs/{id}."""
    name = call.path["id"]
    user_id = _owner(call, "delete", call.first("user_id"))
    try:
        await call.state.keypairs.DeleteKeypair(
            DeleteKeypairRequest(user_id=user_id, name=name), timeout=call.state.timeout
        )
    except NotFoundError:
        raise _missing(name, user_id) from None


def _missing(name: str, user_id: str) -> HttpError:
    return HttpError(404, f"Keypair {name} not found for user {user_id}")


_NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    **worded_pattern(
        r"^$|^[_\-a-zA-Z0-9]([_\- a-zA-Z0-9]*[_\-a-zA-Z0-9])?$",
        "letters, digits, spaces, _ and -. Can not start or end with whitespace.",
    ),
}
_NAME_92: Schema = {
    **_NAME,
    **worded_pattern(
        r"^$|^[_\-@.a-zA-Z0-9]([_\-@. a-zA-Z0-9]*[_\-@.a-zA-Z0-9])?$",
        "letters, digits, spaces, _, -, @ and . - can not start or end with whitespace.",
    ),
}
_FIRST: dict[str, Schema] = {"name": _NAME, "public_key": {"type": "string"}}
_TYPED = {**_FIRST, "type": {"type": "string", "enum": ["ssh", "x509"]}}
_OF_USER = {**_TYPED, "user_id": {"type": "string"}}
CREATE = (
    (1, p.wrapped("keypair", p.record(_FIRST, ("name",)))),
    (2, p.wrapped("keypair", p.record(_TYPED, ("name",)))),
    (10, p.wrapped("keypair", p.record(_OF_USER, ("name",)))),
    (92, p.wrapped("keypair", p.record({**_OF_USER, "name": _NAME_92}, ("name", "public_key")))),
)
_USER = {"user_id": p.ANY_TEXT}
_ONE = ((1, p.query({})), (10, p.query(_USER)), (75, p.query(_USER, strict=True)))
_LIST = ((1, p.query({})), (10, p.query(_USER)))
_PAGES = ((35, p.query({**_USER, **p.PAGING})), (75, p.query({**_USER, **p.PAGING}, strict=True)))
_PATH = "/os-keypairs"

ROUTES = (
    Route("GET", _PATH, _RULE + "index", index, query=_LIST, last=34),
    Route("GET", _PATH, _RULE + "index", page, query=_PAGES, first=35),
    Route("POST", _PATH, _RULE + "create", create, status=200, body=CREATE, last=1),
    Route("POST", _PATH, _RULE + "create", create, status=201, body=CREATE, first=2),
    Route("GET", _PATH + "/{id}", _RULE + "show", show, query=_ONE),
    Route("DELETE", _PATH + "/{id}", _RULE + "delete", delete, status=202, query=_ONE, last=1),
    Route("DELETE", _PATH + "/{id}", _RULE + "delete", delete, status=204, query=_ONE, first=2),
)
