"""The catalogue: what there is and where, from the gateway's own options. Read only."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from gateway.faults import HttpError
from gateway.identity import views
from gateway.identity.edge import Edge, Exchange, Reply
from gateway.identity.options import IdentityApiOptions
from gateway.identity.paging import all_domains, all_projects
from gateway.identity.views import Json
from novamesh.conductor.v1.domain_service_pb2 import ListDomainsRequest
from novamesh.conductor.v1.project_service_pb2 import ListProjectsRequest
from novamesh.conductor.v1.role_service_pb2 import ListRoleAssignmentsRequest

_INTERFACES = ("admin", "internal", "public")
_NAMES = {
    "identity": "keystone",
    "compute": "nova",
    "compute_legacy": "nova_legacy",
    "image": "glance",
}
# Ids are made from what they stand for, so that each gateway gives the same ones.
_NAMESPACE = uuid.UUID("7a2b8a39-3c0e-4c58-9f6d-0b9a54b1c3d7")


@dataclass(frozen=True)
class Entry:
    """One service with its URL."""

    type: str
    url: str

    @property
    def id(self) -> str:
        """The service's id."""
        return uuid.uuid5(_NAMESPACE, self.type).hex

    @property
    def name(self) -> str:
        """The service's name."""
        return _NAMES.get(self.type, self.type)

    def endpoint_id(self, interface: str) -> str:
        """The id of its endpoint for an interface."""
        return uuid.uuid5(_NAMESPACE, f"{self.type}/{interface}").hex


class Catalog:
    """The services of the options, as tokens show them."""

    def __init__(self, options: IdentityApiOptions) -> None:
        self.region = options.region
        more = (entry.split("=", 1) for entry in options.more_endpoints)
        named = [
            ("identity", options.identity_url),
            ("compute", options.compute_url),
            ("compute_legacy", options.compute_legacy_url),
            ("image", options.image_url),
            *((kind, url) for kind, url in more),
        ]
        self.entries: Sequence[Entry] = [Entry(kind, url) for kind, url in named if url]

    def of(self, project_id: str) -> list[Json]:
        """What a token for this project shows."""
        return [
            {
                "id": entry.id,
                "type": entry.type,
                "name": entry.name,
                "endpoints": [
                    {
                        "id": entry.endpoint_id(interface),
                        "interface": interface,
                        "region": self.region,
                        "region_id": self.region,
                        "url": _filled(entry.url, project_id),
                    }
                    for interface in _INTERFACES
                ],
            }
            for entry in self.entries
            # A URL that needs a project is left out where there is none, as Keystone does.
            if project_id or _filled(entry.url, "") == entry.url
        ]


def _filled(url: str, project_id: str) -> str:
    for mark in ("%(project_id)s", "%(tenant_id)s", "$(project_id)s", "$(tenant_id)s"):
        url = url.replace(mark, project_id)
    return url


class CatalogResource:
    """/v3/auth/catalog and its kin, /v3/regions, /v3/services, /v3/endpoints."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._catalog = Catalog(edge.options)

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        return [
            web.get("/v3/auth/catalog", guarded(self.show)),
            web.get("/v3/auth/projects", guarded(self.list_projects)),
            web.get("/v3/auth/domains", guarded(self.list_domains)),
            web.get("/v3/auth/system", guarded(self.list_systems)),
            web.get("/v3/regions", guarded(self.list_regions)),
            web.get("/v3/regions/{id}", guarded(self.show_region)),
            web.get("/v3/services", guarded(self.list_services)),
            web.get("/v3/services/{id}", guarded(self.show_service)),
            web.get("/v3/endpoints", guarded(self.list_endpoints)),
            web.get("/v3/endpoints/{id}", guarded(self.show_endpoint)),
        ]

    async def show(self, exchange: Exchange) -> Reply:
        """The catalogue for the token's project."""
        if not exchange.context.project_id and not exchange.token.HasField("domain"):
            raise HttpError(403, "A token without a scope has no catalogue.")
        catalog = self._catalog.of(exchange.context.project_id)
        return Reply({"catalog": catalog, "links": self._edge.links(exchange)})

    async def list_projects(self, exchange: Exchange) -> Reply:
        """The projects that the caller may scope to."""
        request = ListProjectsRequest(user_id=exchange.context.user_id, enabled=True)
        base = self._edge.url(exchange)
        found = [views.project(project, base) for project in await all_projects(self._edge, request)]
        return Reply({"projects": found, "links": self._edge.links(exchange)})

    async def list_domains(self, exchange: Exchange) -> Reply:
        """The domains that the caller may scope to."""
        answer = await self._edge.roles.ListRoleAssignments(
            ListRoleAssignmentsRequest(user_id=exchange.context.user_id),
            timeout=self._edge.options.rpc_timeout,
        )
        ids = {given.domain.id for given in answer.role_assignments if given.HasField("domain")}
        found = await all_domains(self._edge, ListDomainsRequest(ids=sorted(ids))) if ids else []
        base = self._edge.url(exchange)
        shown = [views.domain(domain, base) for domain in found if domain.enabled]
        return Reply({"domains": shown, "links": self._edge.links(exchange)})

    async def list_systems(self, exchange: Exchange) -> Reply:
        """None: tokens aren't scoped to the system."""
        return Reply({"system": [], "links": self._edge.links(exchange)})

    async def list_regions(self, exchange: Exchange) -> Reply:
        """There is one."""
        return Reply({"regions": [self._region(exchange)], "links": self._edge.links(exchange)})

    async def show_region(self, exchange: Exchange) -> Reply:
        """One region."""
        if exchange.path("id") != self._catalog.region:
            raise HttpError(404, f"Could not find region: {exchange.path('id')}.")
        return Reply({"region": self._region(exchange)})

    async def list_services(self, exchange: Exchange) -> Reply:
        """The services of the catalogue."""
        self._edge.require(exchange, "identity:list_services")
        query = exchange.request.query
        found = [
            self._service(exchange, entry)
            for entry in self._catalog.entries
            if query.get("type", entry.type) == entry.type and query.get("name", entry.name) == entry.name
        ]
        return Reply({"services": found, "links": self._edge.links(exchange)})

    async def show_service(self, exchange: Exchange) -> Reply:
        """One service."""
        self._edge.require(exchange, "identity:list_services")
        for entry in self._catalog.entries:
            if entry.id == exchange.path("id"):
                return Reply({"service": self._service(exchange, entry)})
        raise HttpError(404, f"Could not find service: {exchange.path('id')}.")

    async def list_endpoints(self, exchange: Exchange) -> Reply:
        """The endpoints of the catalogue."""
        self._edge.require(exchange, "identity:list_endpoints")
        query = exchange.request.query
        found = [
            self._endpoint(exchange, entry, interface)
            for entry in self._catalog.entries
            for interface in _INTERFACES
            if query.get("service_id", entry.id) == entry.id
            and query.get("interface", interface) == interface
            and query.get("region_id", self._catalog.region) == self._catalog.region
        ]
        return Reply({"endpoints": found, "links": self._edge.links(exchange)})

    async def show_endpoint(self, exchange: Exchange) -> Reply:
        """One endpoint."""
        self._edge.require(exchange, "identity:list_endpoints")
        for entry in self._catalog.entries:
            for interface in _INTERFACES:
                if entry.endpoint_id(interface) == exchange.path("id"):
                    return Reply({"endpoint": self._endpoint(exchange, entry, interface)})
        raise HttpError(404, f"Could not find endpoint: {exchange.path('id')}.")

    def _region(self, exchange: Exchange) -> Json:
        region = self._catalog.region
        return {
            "id": region,
            "description": "",
            "parent_region_id": None,
            "links": {"self": self._edge.url(exchange, f"/v3/regions/{region}")},
        }

    def _service(self, exchange: Exchange, entry: Entry) -> Json:
        return {
            "id": entry.id,
            "type": entry.type,
            "name": entry.name,
            "description": "",
            "enabled": True,
            "links": {"self": self._edge.url(exchange, f"/v3/services/{entry.id}")},
        }

    def _endpoint(self, exchange: Exchange, entry: Entry, interface: str) -> Json:
        endpoint_id = entry.endpoint_id(interface)
        return {
            "id": endpoint_id,
            "service_id": entry.id,
            "interface": interface,
            "region": self._catalog.region,
            "region_id": self._catalog.region,
            "url": entry.url,
            "enabled": True,
            "links": {"self": self._edge.url(exchange, f"/v3/endpoints/{endpoint_id}")},
        }
