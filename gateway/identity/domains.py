"""Domains."""

from aiohttp import web

from gateway.identity import views
from gateway.identity.edge import Edge, Exchange, Reply
from gateway.identity.paging import all_domains
from gateway.identity.schemas import CREATE_DOMAIN, UPDATE_DOMAIN
from novamesh.conductor.v1.domain_service_pb2 import (
    CreateDomainRequest,
    DeleteDomainRequest,
    GetDomainRequest,
    ListDomainsRequest,
    UpdateDomainRequest,
)
from novamesh.types.v1.identity_pb2 import Domain


class DomainResource:
    """/v3/domains."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._timeout = edge.options.rpc_timeout

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        return [
            web.get("/v3/domains", guarded(self.list)),
            web.post("/v3/domains", guarded(self.create)),
            web.get("/v3/domains/{id}", guarded(self.show)),
            web.patch("/v3/domains/{id}", guarded(self.update)),
            web.delete("/v3/domains/{id}", guarded(self.delete)),
        ]

    async def list(self, exchange: Exchange) -> Reply:
        """Those that match name and enabled."""
        self._edge.require(exchange, "identity:list_domains")
        request = ListDomainsRequest(name=exchange.request.query.get("name", ""))
        found = await all_domains(self._edge, request)
        if "enabled" in exchange.request.query:
            found = [domain for domain in found if domain.enabled == exchange.flag("enabled")]
        base = self._edge.url(exchange)
        shown = [views.domain(domain, base) for domain in found]
        return Reply({"domains": shown, "links": self._edge.links(exchange)})

    async def create(self, exchange: Exchange) -> Reply:
        """Make one."""
        self._edge.require(exchange, "identity:create_domain")
        body = (await self._edge.body(exchange, CREATE_DOMAIN))["domain"]
        wanted = Domain(
            name=body["name"],
            description=body.get("description") or "",
            enabled=body.get("enabled", True),
        )
        answer = await self._edge.domains.CreateDomain(
            CreateDomainRequest(request_id=exchange.context.request_id, domain=wanted), timeout=self._timeout
        )
        return Reply({"domain": views.domain(answer.domain, self._edge.url(exchange))}, 201)

    async def show(self, exchange: Exchange) -> Reply:
        """One."""
        own = exchange.context.project_domain_id == exchange.path("id")
        project_id = exchange.context.project_id if own else ""
        self._edge.require(exchange, "identity:get_domain", project_id=project_id)
        answer = await self._edge.domains.GetDomain(
            GetDomainRequest(id=exchange.path("id")), timeout=self._timeout
        )
        return Reply({"domain": views.domain(answer.domain, self._edge.url(exchange))})

    async def update(self, exchange: Exchange) -> Reply:
        """Change one."""
        self._edge.require(exchange, "identity:update_domain")
        body = (await self._edge.body(exchange, UPDATE_DOMAIN))["domain"]
        wanted = Domain(
            id=exchange.path("id"),
            name=body.get("name", ""),
            description=body.get("description") or "",
            enabled=body.get("enabled", False),
        )
        mask = [name for name in ("name", "description", "enabled") if name in body]
        answer = await self._edge.domains.UpdateDomain(
            UpdateDomainRequest(domain=wanted, update_mask=mask), timeout=self._timeout
        )
        return Reply({"domain": views.domain(answer.domain, self._edge.url(exchange))})

    async def delete(self, exchange: Exchange) -> Reply:
        """Remove one, with all that is in it."""
        self._edge.require(exchange, "identity:delete_domain")
        await self._edge.domains.DeleteDomain(
            DeleteDomainRequest(id=exchange.path("id")), timeout=self._timeout
        )
        return Reply(status=204)
