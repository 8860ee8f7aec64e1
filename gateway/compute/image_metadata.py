"""Metadata of an image, up to 2.38: the image service's properties under their old name."""

from collections.abc import Callable

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.images import RULE, find_image
from gateway.compute.quota_names import by_name
from gateway.compute.rewriting import rewritten
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.conductor.v1.quota_service_pb2 import GetQuotasRequest
from novamesh.failures import NotFoundError, PermissionDeniedError
from novamesh.image.v1.image_service_pb2 import UpdateImageRequest
from novamesh.types.v1.image_pb2 import Image

_LAST = 38

Properties = dict[str, str]


async def index(call: ComputeRequest) -> object:
    """GET metadata."""
    return {"metadata": dict((await find_image(call, call.path["image_id"])).properties)}


async def show(call: ComputeRequest) -> object:
    """GET one item."""
    key = call.path["id"]
    properties = (await find_image(call, call.path["image_id"])).properties
    if key not in properties:
        raise HttpError(404, "Metadata item was not found")
    return {"meta": {key: properties[key]}}


async def create(call: ComputeRequest) -> object:
    """POST: add items, or change them."""
    given: Properties = call.body["metadata"]
    return {"metadata": await _change(call, lambda old: {**old, **given})}


async def update_all(call: ComputeRequest) -> object:
    """PUT: put these in place of all."""
    given: Properties = call.body["metadata"]
    return {"metadata": await _change(call, lambda _: given)}


async def update(call: ComputeRequest) -> object:
    """PUT one item."""
    given: Properties = call.body["meta"]
    if call.path["id"] not in given:
        raise HttpError(400, "Request body and URI mismatch")
    await _change(call, lambda old: {**old, **given})
    return {"meta": given}


async def delete(call: ComputeRequest) -> None:
    """DELETE one item."""
    key = call.path["id"]

    def without(old: Properties) -> Properties:
        if key not in old:
            raise HttpError(404, "Invalid metadata key")
        return {name: value for name, value in old.items() if name != key}

    await _change(call, without)


async def _change(call: ComputeRequest, changed: Callable[[Properties], Properties]) -> Properties:
    async def attempt() -> Properties:
        image = await find_image(call, call.path["image_id"])
        properties = changed(dict(image.properties))
        await check_quota(call, len(properties))
        request = UpdateImageRequest(
            image_id=image.id,
            image=Image(properties=properties),
            generation=image.generation,
        )
        request.update_mask.paths.append("properties")
        try:
            answer = await call.state.images.UpdateImage(request, timeout=call.state.timeout)
        except NotFoundError:
            raise HttpError(404, "Image not found.") from None
        except PermissionDeniedError:
            raise HttpError(403, "You are not allowed to change the image.") from None
        return dict(answer.image.properties)

    return await rewritten(attempt)


async def check_quota(call: ComputeRequest, items: int) -> None:
    """Raise HttpError 403 for more items of metadata than a server of the caller's project may have."""
    answer = await call.state.quotas.GetQuotas(
        GetQuotasRequest(project_id=call.context.project_id), timeout=call.state.timeout
    )
    limit = by_name(list(answer.quotas))["metadata_items"].limit
    if 0 <= limit < items:
        raise HttpError(403, "Image metadata limit exceeded")


_ALL = p.wrapped("metadata", p.METADATA)
_ONE = p.wrapped("meta", {**p.METADATA, "minProperties": 1, "maxProperties": 1})
_PATH = "/images/{image_id}/metadata"

ROUTES = (
    Route("GET", _PATH, RULE, index, last=_LAST),
    Route("POST", _PATH, RULE, create, body=((1, _ALL),), last=_LAST),
    Route("PUT", _PATH, RULE, update_all, body=((1, _ALL),), last=_LAST),
    Route("GET", _PATH + "/{id}", RULE, show, last=_LAST),
    Route("PUT", _PATH + "/{id}", RULE, update, body=((1, _ONE),), last=_LAST),
    Route("DELETE", _PATH + "/{id}", RULE, delete, status=204, last=_LAST),
)
