"""Tags of a server, microversion 2.26."""

from collections.abc import Callable
from urllib.parse import quote

import jsonschema_rs

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find, rewrite
from gateway.compute.views.links import LinkMaker
from gateway.faults import HttpError
from gateway.requests import Answer
from gateway.routes import Route
from gateway.schemas import check_body
from novamesh.types.v1.instance_pb2 import Instance

_MOST = 50
_RULE = "os_compute_api:os-server-tags:"
_TAG = jsonschema_rs.Draft7Validator(p.TAG)


async def index(call: ComputeRequest) -> object:
    """GET the tags."""
    return {"tags": list((await find(call)).tags)}


async def show(call: ComputeRequest) -> None:
    """GET a tag: 204 when the server has it."""
    if call.path["id"] not in (await find(call)).tags:
        raise _unknown(call)


async def update(call: ComputeRequest) -> Answer:
    """PUT a tag: 201 when it is new, 204 when the server has it already."""
    tag = call.path["id"]
    check_body(_TAG, tag)
    before: list[list[str]] = []

    def added(old: list[str]) -> list[str]:
        before.append(old)
        if tag not in old and len(old) >= _MOST:
            raise HttpError(400, f"The number of tags exceeded the per-server limit {_MOST}")
        return old if tag in old else [*old, tag]

    await _change(call, added)
    if tag in before[-1]:
        return Answer(status=204)
    location = LinkMaker(call, f"servers/{call.path['server_id']}/tags").own(quote(tag))
    return Answer(status=201, headers={"Location": location})


async def update_all(call: ComputeRequest) -> object:
    """PUT all tags."""
    given: list[str] = list(dict.fromkeys(call.body["tags"]))
    return {"tags": await _change(call, lambda _: given)}


async def delete(call: ComputeRequest) -> None:
    """DELETE a tag."""
    tag = call.path["id"]

    def without(old: list[str]) -> list[str]:
        if tag not in old:
            raise _unknown(call)
        return [other for other in old if other != tag]

    await _change(call, without)


async def delete_all(call: ComputeRequest) -> None:
    """DELETE all tags."""
    await _change(call, lambda _: [])


def _unknown(call: ComputeRequest) -> HttpError:
    return HttpError(404, f"Server {call.path['server_id']} has no tag '{call.path['id']}'")


async def _change(call: ComputeRequest, changed: Callable[[list[str]], list[str]]) -> list[str]:
    written = await rewrite(call, "tags", lambda old: Instance(tags=changed(list(old.tags))))
    return list(written.tags)


_ALL = p.record({"tags": {"type": "array", "items": p.TAG, "maxItems": _MOST}}, ("tags",))
_PATH = "/servers/{server_id}/tags"

ROUTES = (
    Route("GET", _PATH, _RULE + "index", index, first=26),
    Route("PUT", _PATH, _RULE + "update_all", update_all, body=((26, _ALL),), first=26),
    Route("DELETE", _PATH, _RULE + "delete_all", delete_all, status=204, first=26),
    Route("GET", _PATH + "/{id}", _RULE + "show", show, status=204, first=26),
    Route("PUT", _PATH + "/{id}", _RULE + "update", update, first=26),
    Route("DELETE", _PATH + "/{id}", _RULE + "delete", delete, status=204, first=26),
)
