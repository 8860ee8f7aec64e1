"""Host aggregates: groups of compute hosts with metadata; one with a zone is an availability zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.views import times
from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.routes import Route
from gateway.schemas import Schema, worded_pattern
from novamesh.conductor.v1.aggregate_service_pb2 import (
    AddAggregateHostRequest,
    CacheAggregateImagesRequest,
    CreateAggregateRequest,
    DeleteAggregateRequest,
    GetAggregateRequest,
    ListAggregatesRequest,
    RemoveAggregateHostRequest,
    SetAggregateMetadataRequest,
    UpdateAggregateRequest,
)
from novamesh.failures import AlreadyExistsError, InvalidArgumentError, NotFoundError
from novamesh.image.v1.image_service_pb2 import ListImagesRequest
from novamesh.types.v1.aggregate_pb2 import Aggregate
from novamesh.types.v1.image_query_pb2 import ImageQuery

_RULE = "os_compute_api:os-aggregates:"
_ZONE = "availability_zone"
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
# Images that the image service is asked for at once.
_IMAGES = 100
# Longer than any number that the database gives out.
_DIGITS = 18


class Field(NamedTuple):
    """A field of an aggregate, and the microversion that brought it."""

    name: str
    value: Callable[[Aggregate], Any]
    first: int = 1
    # False for what the answer to a create leaves out.
    at_create: bool = True


def _metadata(aggregate: Aggregate) -> dict[str, str]:
    zone = {_ZONE: aggregate.availability_zone} if aggregate.availability_zone else {}
    return {**aggregate.metadata, **zone}


def _updated_at(aggregate: Aggregate) -> str | None:
    return times.microseconds(aggregate.updated_at) if aggregate.HasField("updated_at") else None


FIELDS = (
    Field("id", lambda a: a.number),
    Field("uuid", lambda a: a.id, first=41),
    Field("name", lambda a: a.name),
    Field(_ZONE, lambda a: a.availability_zone or None),
    Field("hosts", lambda a: list(a.hosts), at_create=False),
    Field("metadata", _metadata, at_create=False),
    Field("created_at", lambda a: times.microseconds(a.created_at)),
    Field("updated_at", _updated_at),
    Field("deleted", lambda _: False),
    Field("deleted_at", lambda _: None),
)


def _view(call: ComputeRequest, aggregate: Aggregate, *, created: bool = False) -> dict[str, Any]:
    return {
        field.name: field.value(aggregate)
        for field in FIELDS
        if field.first <= call.minor and (field.at_create or not created)
    }


def _number(call: ComputeRequest) -> int:
    """The aggregate's number, from the path. Raises HttpError 400 and 404."""
    text = call.path["id"]
    if _NUMBER.fullmatch(text) is None:
        raise HttpError(400, "Invalid input received: id must be an integer")
    if len(text) > _DIGITS:
        raise HttpError(404, f"Aggregate {text} could not be found.")
    return int(text)


async def index(call: ComputeRequest) -> object:
    """GET /os-aggregates."""
    answer = await call.state.aggregates.ListAggregates(ListAggregatesRequest(), timeout=call.state.timeout)
    return {"aggregates": [_view(call, one) for one in answer.aggregates]}


async def show(call: ComputeRequest) -> object:
    """GET /os-aggregates/{id}."""
    answer = await call.state.aggregates.GetAggregate(
        GetAggregateRequest(number=_number(call)), timeout=call.state.timeout
    )
    return {"aggregate": _view(call, answer.aggregate)}


async def create(call: ComputeRequest) -> object:
    """POST /os-aggregates."""
    given = call.body["aggregate"]
    wanted = Aggregate(name=given["name"], availability_zone=given.get(_ZONE) or "")
    try:
        answer = await call.state.aggregates.CreateAggregate(
            CreateAggregateRequest(aggregate=wanted), timeout=call.state.timeout
        )
    except AlreadyExistsError as failure:
        raise HttpError(409, failure.message) from None
    return {"aggregate": _view(call, answer.aggregate, created=True)}


async def update(call: ComputeRequest) -> object:
    """PUT /os-aggregates/{id}: name and zone."""
    given = call.body["aggregate"]
    wanted = Aggregate(
        number=_number(call), name=given.get("name", ""), availability_zone=given.get(_ZONE) or ""
    )
    answer = await call.state.aggregates.UpdateAggregate(
        UpdateAggregateRequest(
            aggregate=wanted, update_mask=[name for name in ("name", _ZONE) if name in given]
        ),
        timeout=call.state.timeout,
    )
    return {"aggregate": _view(call, answer.aggregate)}


async def delete(call: ComputeRequest) -> None:
    """DELETE /os-aggregates/{id}."""
    await call.state.aggregates.DeleteAggregate(
        DeleteAggregateRequest(number=_number(call)), timeout=call.state.timeout
    )


async def add_host(call: ComputeRequest) -> object:
    """add_host."""
    request = AddAggregateHostRequest(number=_number(call), host=call.body["add_host"]["host"])
    try:
        answer = await call.state.aggregates.AddAggregateHost(request, timeout=call.state.timeout)
    except InvalidArgumentError as failure:
        raise HttpError(409, failure.message) from None
    return {"aggregate": _view(call, answer.aggregate)}


async def remove_host(call: ComputeRequest) -> object:
    """remove_host."""
    request = RemoveAggregateHostRequest(number=_number(call), host=call.body["remove_host"]["host"])
    try:
        answer = await call.state.aggregates.RemoveAggregateHost(request, timeout=call.state.timeout)
    except NotFoundError:
        raise HttpError(404, f"Cannot remove host {request.host} in aggregate {request.number}") from None
    except InvalidArgumentError as failure:
        raise HttpError(409, failure.message) from None
    return {"aggregate": _view(call, answer.aggregate)}


async def set_metadata(call: ComputeRequest) -> object:
    """set_metadata: sets keys, and removes those whose value is null."""
    given = call.body["set_metadata"]["metadata"]
    request = SetAggregateMetadataRequest(
        number=_number(call),
        metadata={key: value for key, value in given.items() if value is not None},
        removed=[key for key, value in given.items() if value is None],
    )
    answer = await call.state.aggregates.SetAggregateMetadata(request, timeout=call.state.timeout)
    return {"aggregate": _view(call, answer.aggregate)}


async def images(call: ComputeRequest) -> None:
    """POST /os-aggregates/{id}/images: have its hosts fetch images before a server needs them."""
    number = _number(call)
    image_ids = [image["id"] for image in call.body["cache"]]
    if len(set(image_ids)) < len(image_ids):
        raise HttpError(400, "Duplicate images in request")
    await call.state.aggregates.GetAggregate(GetAggregateRequest(number=number), timeout=call.state.timeout)
    await _check_images(call, image_ids)
    await call.state.aggregates.CacheAggregateImages(
        CacheAggregateImagesRequest(number=number, image_ids=image_ids), timeout=call.state.timeout
    )


async def _check_images(call: ComputeRequest, image_ids: Sequence[str]) -> None:
    """Raise HttpError 400 for the first image that the caller does not see."""
    for start in range(0, len(image_ids), _IMAGES):
        wanted = image_ids[start : start + _IMAGES]
        query = ImageQuery(ids=wanted, all_visibilities=True, any_member_status=True)
        listed = await call.state.images.ListImages(
            ListImagesRequest(query=query, page_size=len(wanted)), timeout=call.state.timeout
        )
        seen = {image.id for image in listed.images}
        for image_id in wanted:
            if image_id not in seen:
                raise HttpError(400, f"Image {image_id} could not be found.")


_LENIENT_NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    **worded_pattern(
        r"^[^\p{C}\p{Zl}\p{Zp}]*[^\p{C}\p{Z}][^\p{C}\p{Zl}\p{Zp}]*$",
        "printable characters with at least one non space.",
    ),
}
_NULLABLE_ZONE = {**p.ZONE_NAME, "type": ["string", "null"]}
_CREATE = p.wrapped("aggregate", p.record({"name": p.NAME, _ZONE: _NULLABLE_ZONE}, ("name",)))
_UPDATE = p.wrapped(
    "aggregate", {**p.record({"name": _LENIENT_NAME, _ZONE: _NULLABLE_ZONE}), "minProperties": 1}
)
_METADATA: Schema = {
    "type": "object",
    "patternProperties": {"^[a-zA-Z0-9-_:. ]{1,255}$": {"type": ["string", "null"], "maxLength": 255}},
    "additionalProperties": False,
}
_CACHE = p.record(
    {"cache": {"type": "array", "minItems": 1, "items": p.record({"id": p.UUID}, ("id",))}}, ("cache",)
)
_PATH = "/os-aggregates"


def _action(name: str, handler: Handler, fields: dict[str, Schema]) -> Route:
    body = p.wrapped(name, p.record(fields, tuple(fields)))
    return Route("POST", _PATH + "/{id}/action", _RULE + name, handler, body=((1, body),), action=name)


ROUTES = (
    Route("GET", _PATH, _RULE + "index", index),
    Route("POST", _PATH, _RULE + "create", create, body=((1, _CREATE),)),
    Route("GET", _PATH + "/{id}", _RULE + "show", show),
    Route("PUT", _PATH + "/{id}", _RULE + "update", update, body=((1, _UPDATE),)),
    Route("DELETE", _PATH + "/{id}", _RULE + "delete", delete),
    _action("add_host", add_host, {"host": p.HOST}),
    _action("remove_host", remove_host, {"host": p.HOST}),
    _action("set_metadata", set_metadata, {"metadata": _METADATA}),
    Route(
        "POST",
        _PATH + "/{id}/images",
        "compute:aggregates:images",
        images,
        status=202,
        body=((81, _CACHE),),
        first=81,
    ),
)
