"""Metadata of a server: pairs of words that its owner chooses."""

from collections.abc import Callable

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find, rewrite
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.types.v1.instance_pb2 import Instance

_RULE = "os_compute_api:server-metadata:"


async def index(call: ComputeRequest) -> object:
    """GET metadata."""
    return {"metadata": dict((await find(call)).metadata)}


async def show(call: ComputeRequest) -> object:
    """GET one item."""
    metadata = (await find(call)).metadata
    return {"meta": {call.path["id"]: metadata[_known(metadata, call.path["id"])]}}


async def create(call: ComputeRequest) -> object:
    """POST: add items, or change them."""
    given: dict[str, str] = call.body["metadata"]
    return {"metadata": await _change(call, lambda old: {**old, **given})}


async def update_all(call: ComputeRequest) -> object:
    """PUT: put these in place of all."""
    given: dict[str, str] = call.body["metadata"]
    return {"metadata": await _change(call, lambda _: given)}


async def update(call: ComputeRequest) -> object:
    """PUT one item."""
    given: dict[str, str] = call.body["meta"]
    key = call.path["id"]
    if key not in given:
        raise HttpError(400, "Request body and URI mismatch")
    if len(given) != 1:
        raise HttpError(400, "Request body contains too many items")
    await _change(call, lambda old: {**old, **given})
    return {"meta": given}


async def delete(call: ComputeRequest) -> None:
    """DELETE one item."""
    key = call.path["id"]

    def without(old: dict[str, str]) -> dict[str, str]:
        _known(old, key)
        return {name: value for name, value in old.items() if name != key}

    await _change(call, without)


def _known(metadata: object, key: str) -> str:
    if key not in metadata:  # type: ignore[operator]
        raise HttpError(404, "Metadata item was not found")
    return key


async def _change(
    call: ComputeRequest, changed: Callable[[dict[str, str]], dict[str, str]]
) -> dict[str, str]:
    written = await rewrite(call, "metadata", lambda old: Instance(metadata=changed(dict(old.metadata))))
    return dict(written.metadata)


_ALL = p.wrapped("metadata", p.METADATA)
_ONE = p.wrapped("meta", {**p.METADATA, "minProperties": 1, "maxProperties": 1})
_PATH = "/servers/{server_id}/metadata"

ROUTES = (
    Route("GET", _PATH, _RULE + "index", index),
    Route("POST", _PATH, _RULE + "create", create, body=((1, _ALL),)),
    Route("PUT", _PATH, _RULE + "update_all", update_all, body=((1, _ALL),)),
    Route("GET", _PATH + "/{id}", _RULE + "show", show),
    Route("PUT", _PATH + "/{id}", _RULE + "update", update, body=((1, _ONE),)),
    Route("DELETE", _PATH + "/{id}", _RULE + "delete", delete, status=204),
)
