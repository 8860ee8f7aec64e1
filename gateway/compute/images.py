"""The images proxy, up to 2.35: the image service's records in the Compute API's old clothes."""

from typing import Any

from gateway.compute import changes
from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.views import times
from gateway.compute.views.links import LinkMaker, next_links, page_limit
from gateway.faults import HttpError
from gateway.routes import Route
from gateway.schemas import Schema
from novamesh.failures import InvalidArgumentError, NotFoundError, PermissionDeniedError
from novamesh.image.v1.image_service_pb2 import (
    DeleteImageRequest,
    GetImageRequest,
    ListImagesRequest,
    ListImagesResponse,
)
from novamesh.types.v1.image_pb2 import Image, ImageStatus
from novamesh.types.v1.image_query_pb2 import ImageQuery, TimeOperator

_LAST = 35
RULE = "os_compute_api:images"
# The image service's status, its word here and how far along it is.
_STATUSES = {
    ImageStatus.IMAGE_STATUS_QUEUED: ("SAVING", 25),
    ImageStatus.IMAGE_STATUS_SAVING: ("SAVING", 50),
    ImageStatus.IMAGE_STATUS_ACTIVE: ("ACTIVE", 100),
    ImageStatus.IMAGE_STATUS_KILLED: ("ERROR", 0),
    ImageStatus.IMAGE_STATUS_DELETED: ("DELETED", 0),
}
# Filters by the fields of the image service that they compare with, and what begins those by property.
_LEAST = {"minRam": "min_ram_mb", "minDisk": "min_disk_gb"}
_PROPERTY = "property-"


def image_url(call: ComputeRequest, image_id: str) -> str:
    """Where an image is: in the Image API, or in the proxy here where nobody has said where that is."""
    prefix = call.state.options.glance_link_prefix.rstrip("/")
    return f"{prefix}/v2/images/{image_id}" if prefix else LinkMaker(call, "images").own(image_id)


def _brief(call: ComputeRequest, image: Image) -> dict[str, Any]:
    alternate = {
        "rel": "alternate",
        "type": "application/vnd.openstack.image",
        "href": image_url(call, image.id),
    }
    links = LinkMaker(call, "images").links(image.id)
    return {"id": image.id, "name": image.name, "links": [*links, alternate]}


def _full(call: ComputeRequest, image: Image) -> dict[str, Any]:
    status, progress = _STATUSES.get(image.status, ("UNKNOWN", 0))
    shown = {
        **_brief(call, image),
        "minRam": image.min_ram_mb,
        "minDisk": image.min_disk_gb,
        "metadata": dict(image.properties),
        "created": times.seconds(image.created_at),
        "updated": times.seconds(image.updated_at if image.HasField("updated_at") else image.created_at),
        "status": status,
        "progress": progress,
        "OS-EXT-IMG-SIZE:size": image.size,
    }
    server_id = image.properties.get("instance_uuid")
    if server_id:
        shown["server"] = {"id": server_id, "links": LinkMaker(call, "servers").links(server_id)}
    auto = image.properties.get("auto_disk_config")
    if auto:
        shown["OS-DCF:diskConfig"] = "AUTO" if auto.lower() == "true" else "MANUAL"
    return shown


async def index(call: ComputeRequest) -> object:
    """GET /images."""
    return await _page(call, brief=True)


async def detail(call: ComputeRequest) -> object:
    """GET /images/detail."""
    return await _page(call, brief=False)


def _query(call: ComputeRequest) -> ImageQuery | None:
    """What the filters ask for; None for a status that no image has. Raises HttpError 400."""
    query = ImageQuery(hidden=False)
    for name, values in call.query.items():
        value = values[-1]
        if name == "name":
            query.names.append(value)
        elif name == "status":
            query.statuses.extend(_statuses(value))
            if not query.statuses:
                return None
        elif name == "changes-since":
            query.updated_at.operator = TimeOperator.TIME_OPERATOR_GREATER_OR_EQUAL
            query.updated_at.time.CopyFrom(changes.since(value))
        elif name == "server":
            # The server's URL will do as well.
            query.properties["instance_uuid"] = value.rpartition("/")[2]
        elif name == "type":
            query.properties["image_type"] = value
        elif name in _LEAST:
            setattr(query, _LEAST[name], int(value))
        elif name.startswith(_PROPERTY):
            query.properties[name.removeprefix(_PROPERTY)] = value
    return query


def _statuses(word: str) -> "list[ImageStatus.ValueType]":
    """The image service's for a word of this API, or for one of its own."""
    named = [key for key, (shown, _) in _STATUSES.items() if shown == word.upper()]
    own = [value for name, value in ImageStatus.items() if name == f"IMAGE_STATUS_{word.upper()}" and value]
    return named or own


async def _page(call: ComputeRequest, *, brief: bool) -> object:
    query = _query(call)
    if query is None:
        return {"images": []}
    limit = page_limit(call)
    request = ListImagesRequest(query=query, page_size=limit, page_token=call.last("marker") or "")
    answer = ListImagesResponse()
    if limit:
        try:
            answer = await call.state.images.ListImages(request, timeout=call.state.timeout)
        except (InvalidArgumentError, NotFoundError):
            raise HttpError(400, f"marker [{request.page_token}] not found") from None
    show_one = _brief if brief else _full
    shown = [show_one(call, image) for image in answer.images]
    page: dict[str, object] = {"images": shown}
    if shown:
        following = next_links(call, shown, answer.images[-1].id)
        if following:
            page["images_links"] = following
    return page


async def find_image(call: ComputeRequest, image_id: str) -> Image:
    """An image that the caller sees. Raises HttpError 404."""
    try:
        answer = await call.state.images.GetImage(
            GetImageRequest(image_id=image_id), timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(404, "Image not found.") from None
    return answer.image


async def show(call: ComputeRequest) -> object:
    """GET /images/{id}."""
    return {"image": _full(call, await find_image(call, call.path["id"]))}


async def delete(call: ComputeRequest) -> None:
    """DELETE /images/{id}."""
    try:
        await call.state.images.DeleteImage(
            DeleteImageRequest(image_id=call.path["id"]), timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(404, "Image not found.") from None
    except PermissionDeniedError:
        raise HttpError(403, "You are not allowed to delete the image.") from None


_NUMBERS: Schema = p.values(p.NON_NEGATIVE)
_LIST: dict[str, Schema] = {
    **p.PAGING,
    "name": p.ANY_TEXT,
    "status": p.ANY_TEXT,
    "changes-since": p.ANY_TEXT,
    "server": p.ANY_TEXT,
    "type": p.ANY_TEXT,
    "minRam": _NUMBERS,
    "minDisk": _NUMBERS,
}

ROUTES = (
    Route("GET", "/images", RULE, index, query=((1, p.query(_LIST)),), last=_LAST),
    Route("GET", "/images/detail", RULE, detail, query=((1, p.query(_LIST)),), last=_LAST),
    Route("GET", "/images/{id}", RULE, show, last=_LAST),
    Route("DELETE", "/images/{id}", RULE, delete, status=204, last=_LAST),
)
