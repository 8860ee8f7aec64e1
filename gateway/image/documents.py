"""What the Image API says about itself: versions, schemas, abilities, and what it doesn't do."""

from aiohttp import web

from gateway.faults import HttpError
from gateway.image.edge import Edge, json
from gateway.image.schemas import DOCUMENTS
from gateway.requests import host_of
from novamesh.types.v1.request_context_pb2 import RequestContext

# Newest first. 2.8 and 2.10 to 2.18 are Glance's for several stores, its cache and image locations.
_VERSIONS = ("2.9", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0")


class DocumentResource:
    """Versions, schemas, /v2/info, and clear refusals."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        return [
            web.get("/", self.choices),
            web.get("/v2", self.choices),
            web.get("/v2/", self.choices),
            web.get("/versions", self.versions),
            web.get("/versions/", self.versions),
            web.get("/healthcheck", self.health),
            web.get("/v2/schemas/{name}", guarded(self.schema)),
            web.get("/v2/info/import", guarded(self.import_methods)),
            web.get("/v2/info/stores", guarded(self.stores)),
            web.get("/v2/images/{image_id}/tasks", guarded(self.tasks)),
            web.post("/v2/images/{image_id}/import", guarded(self.no_import)),
            web.put("/v2/images/{image_id}/stage", guarded(self.no_import)),
        ]

    async def choices(self, request: web.Request) -> web.Response:
        """GET /: the versions, as choices."""
        return json(self._documents(request), 300)

    async def versions(self, request: web.Request) -> web.Response:
        """GET /versions."""
        return json(self._documents(request))

    async def health(self, request: web.Request) -> web.Response:
        """GET /healthcheck: this process answers."""
        return web.Response(text="OK")

    async def schema(self, request: web.Request, context: RequestContext) -> web.Response:
        """GET /v2/schemas/{name}."""
        document = DOCUMENTS.get(request.match_info["name"])
        if document is None:
            raise HttpError(404, f"There is no schema {request.match_info['name']}.")
        return json(document)

    async def import_methods(self, request: web.Request, context: RequestContext) -> web.Response:
        """GET /v2/info/import: none."""
        methods = {"description": "Import methods available.", "type": "array", "value": []}
        return json({"import-methods": methods})

    async def stores(self, request: web.Request, context: RequestContext) -> web.Response:
        """GET /v2/info/stores: Glance's answer where there is one store."""
        raise HttpError(404, "Multi backend is not supported at this site.")

    async def tasks(self, request: web.Request, context: RequestContext) -> web.Response:
        """GET /v2/images/{id}/tasks: none."""
        await self._edge.image(context, request.match_info["image_id"], "get_image")
        return json({"tasks": []})

    async def no_import(self, request: web.Request, context: RequestContext) -> web.Response:
        """Interoperable import is not offered."""
        await self._edge.image(context, request.match_info["image_id"], "modify_image")
        raise HttpError(
            501, "This image service has no import methods: upload the data with PUT /v2/images/{id}/file."
        )

    def _documents(self, request: web.Request) -> dict[str, object]:
        start = (
            self._edge.options.public_endpoint.rstrip("/") or f"{request.scheme}://{host_of(request.host)}"
        )
        links = [{"rel": "self", "href": f"{start}/v2/"}]
        return {
            "versions": [
                {"id": f"v{number}", "status": "CURRENT" if not position else "SUPPORTED", "links": links}
                for position, number in enumerate(_VERSIONS)
            ]
        }
