"""Version documents, for everybody."""

from aiohttp import web

from gateway.identity.edge import Edge, Exchange, Reply
from gateway.identity.views import Json

# Keystone's own minor version of the API that this one keeps to.
_VERSION = "v3.14"


class DocumentResource:
    """/ and /v3."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        return [
            web.get("/", self._edge.open(self.list)),
            web.get("/v3", self._edge.open(self.show)),
            web.get("/v3/", self._edge.open(self.show)),
        ]

    async def list(self, exchange: Exchange) -> Reply:
        """All versions: there is one."""
        return Reply({"versions": {"values": [self._version(exchange)]}}, 300)

    async def show(self, exchange: Exchange) -> Reply:
        """Version 3."""
        return Reply({"version": self._version(exchange)})

    def _version(self, exchange: Exchange) -> Json:
        return {
            "id": _VERSION,
            "status": "stable",
            "updated": "2020-04-07T00:00:00Z",
            "links": [{"rel": "self", "href": self._edge.url(exchange, "/v3/")}],
            "media-types": [
                {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}
            ],
        }
