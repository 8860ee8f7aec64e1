"""Images: create, list, show, change, delete, deactivate, and their tags."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from aiohttp import web
from google.protobuf.field_mask_pb2 import FieldMask

from gateway.faults import HttpError
from gateway.image.edge import Edge, json, read_json
from gateway.image.patches import apply_patch, from_body, parse_patch
from gateway.image.queries import parse_limit, parse_query
from gateway.image.views import show_image
from novamesh.failures import GenerationConflictError, ImageUnacceptableError, InvalidArgumentError
from novamesh.image.v1.image_service_pb2 import (
    CreateImageRequest,
    DeactivateImageRequest,
    DeleteImageRequest,
    ListImagesRequest,
    ReactivateImageRequest,
    UpdateImageRequest,
)
from novamesh.types.v1.image_pb2 import IMAGE_VISIBILITY_COMMUNITY, IMAGE_VISIBILITY_PUBLIC, Image
from novamesh.types.v1.request_context_pb2 import RequestContext

# How often a change is decided anew because somebody else wrote the record meanwhile.
_TRIES = 5

Edit = Callable[[Image], tuple[Image, list[str]]]


class ImageResource:
    """/v2/images."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._timeout = edge.options.rpc_timeout

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        return [
            web.post("/v2/images", guarded(self.create)),
            web.get("/v2/images", guarded(self.list_images)),
            web.get("/v2/images/{image_id}", guarded(self.show)),
            web.patch("/v2/images/{image_id}", guarded(self.update)),
            web.delete("/v2/images/{image_id}", guarded(self.delete)),
            web.post("/v2/images/{image_id}/actions/deactivate", guarded(self.deactivate)),
            web.post("/v2/images/{image_id}/actions/reactivate", guarded(self.reactivate)),
            web.put("/v2/images/{image_id}/tags/{tag}", guarded(self.add_tag)),
            web.delete("/v2/images/{image_id}/tags/{tag}", guarded(self.remove_tag)),
        ]

    async def create(self, request: web.Request, context: RequestContext) -> web.Response:
        """POST /v2/images: a record without data."""
        body = await read_json(request)
        if not isinstance(body, dict):
            raise HttpError(400, "Provided object does not match schema 'image': it is not an object.")
        image = from_body(body)
        self._edge.require(context, "add_image", image.owner or context.project_id)
        self._require_visibility(context, image, image.owner or context.project_id)
        answer = await self._edge.images.CreateImage(CreateImageRequest(image=image), timeout=self._timeout)
        view = show_image(answer.image)
        response = json(view, 201)
        response.headers["Location"] = view["self"]
        return response

    async def list_images(self, request: web.Request, context: RequestContext) -> web.Response:
        """GET /v2/images: a page."""
        self._edge.require(context, "get_images")
        parameters = request.query
        asked = ListImagesRequest(query=parse_query(parameters), page_token=parameters.get("marker", ""))
        limit = parse_limit(parameters)
        others = [(name, value) for name, value in parameters.items() if name != "marker"]
        body: dict[str, object] = {"images": [], "first": _link(others), "schema": "/v2/schemas/images"}
        if limit == 0:
            return json(body)
        asked.page_size = limit or 0
        try:
            answer = await self._edge.images.ListImages(asked, timeout=self._timeout)
        except InvalidArgumentError as failure:
            raise HttpError(400, failure.message) from failure
        body["images"] = [show_image(image) for image in answer.images]
        if answer.next_page_token:
            body["next"] = _link([*others, ("marker", answer.next_page_token)])
        return json(body)

    async def show(self, request: web.Request, context: RequestContext) -> web.Response:
        """GET /v2/images/{id}."""
        return json(show_image(await self._image(request, context, "get_image")))

    async def update(self, request: web.Request, context: RequestContext) -> web.Response:
        """PATCH /v2/images/{id}."""
        steps = parse_patch(request.content_type, await read_json(request))
        image = await self._edit(request, context, lambda image: apply_patch(image, steps))
        return json(show_image(image))

    async def delete(self, request: web.Request, context: RequestContext) -> web.Response:
        """DELETE /v2/images/{id}."""
        image = await self._image(request, context, "delete_image")
        await self._edge.images.DeleteImage(DeleteImageRequest(image_id=image.id), timeout=self._timeout)
        return web.Response(status=204)

    async def deactivate(self, request: web.Request, context: RequestContext) -> web.Response:
        """POST /v2/images/{id}/actions/deactivate."""
        image = await self._image(request, context, "deactivate")
        asked = DeactivateImageRequest(image_id=image.id)
        with _forbidden_by_state():
            await self._edge.images.DeactivateImage(asked, timeout=self._timeout)
        return web.Response(status=204)

    async def reactivate(self, request: web.Request, context: RequestContext) -> web.Response:
        """POST /v2/images/{id}/actions/reactivate."""
        image = await self._image(request, context, "reactivate")
        asked = ReactivateImageRequest(image_id=image.id)
        with _forbidden_by_state():
            await self._edge.images.ReactivateImage(asked, timeout=self._timeout)
        return web.Response(status=204)

    async def add_tag(self, request: web.Request, context: RequestContext) -> web.Response:
        """PUT /v2/images/{id}/tags/{tag}."""
        tag = request.match_info["tag"]

        def add(image: Image) -> tuple[Image, list[str]]:
            return Image(tags={*image.tags, tag}), [] if tag in image.tags else ["tags"]

        await self._edit(request, context, add)
        return web.Response(status=204)

    async def remove_tag(self, request: web.Request, context: RequestContext) -> web.Response:
        """DELETE /v2/images/{id}/tags/{tag}."""
        tag = request.match_info["tag"]

        def remove(image: Image) -> tuple[Image, list[str]]:
            if tag not in image.tags:
                raise HttpError(404, f"Image {image.id} has no tag {tag}.")
            return Image(tags=[t for t in image.tags if t != tag]), ["tags"]

        await self._edit(request, context, remove)
        return web.Response(status=204)

    async def _image(self, request: web.Request, context: RequestContext, rule: str) -> Image:
        return await self._edge.image(context, request.match_info["image_id"], rule)

    async def _edit(self, request: web.Request, context: RequestContext, edit: Edit) -> Image:
        """Read, decide, write; again when somebody else wrote in between."""
        tries = _TRIES
        while True:
            image = await self._image(request, context, "modify_image")
            new, paths = edit(image)
            if "visibility" in paths and new.visibility != image.visibility:
                self._require_visibility(context, new, image.owner)
            if not paths:
                return image
            asked = UpdateImageRequest(
                image_id=image.id,
                image=new,
                update_mask=FieldMask(paths=paths),
                generation=image.generation,
            )
            try:
                return (await self._edge.images.UpdateImage(asked, timeout=self._timeout)).image
            except GenerationConflictError:
                tries -= 1
                if not tries:
                    raise

    def _require_visibility(self, context: RequestContext, image: Image, owner: str) -> None:
        if image.visibility == IMAGE_VISIBILITY_PUBLIC:
            self._edge.require(context, "publicize_image", owner)
        elif image.visibility == IMAGE_VISIBILITY_COMMUNITY:
            self._edge.require(context, "communitize_image", owner)


@contextmanager
def _forbidden_by_state() -> Iterator[None]:
    """Glance answers 403, not 409, to a deactivation that the status forbids."""
    try:
        yield
    except ImageUnacceptableError as failure:
        raise HttpError(403, failure.message) from failure


def _link(parameters: list[tuple[str, str]]) -> str:
    return f"/v2/images?{urlencode(parameters)}" if parameters else "/v2/images"
