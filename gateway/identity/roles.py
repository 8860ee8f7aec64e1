"""Roles, and what they imply."""

from aiohttp import web

from gateway.faults import HttpError
from gateway.identity import views
from gateway.identity.edge import Edge, Exchange, Reply
from gateway.identity.paging import all_roles
from gateway.identity.schemas import CREATE_ROLE, UPDATE_ROLE
from gateway.identity.views import Json
from novamesh.conductor.v1.role_service_pb2 import (
    AddImpliedRoleRequest,
    CreateRoleRequest,
    DeleteRoleRequest,
    GetRoleRequest,
    ListRolesRequest,
    RemoveImpliedRoleRequest,
    UpdateRoleRequest,
)
from novamesh.types.v1.identity_pb2 import Role


class RoleResource:
    """/v3/roles and /v3/role_inferences."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._timeout = edge.options.rpc_timeout

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        implied = "/v3/roles/{id}/implies/{implied_id}"
        return [
            web.get("/v3/roles", guarded(self.list)),
            web.post("/v3/roles", guarded(self.create)),
            web.get("/v3/roles/{id}", guarded(self.show)),
            web.patch("/v3/roles/{id}", guarded(self.update)),
            web.delete("/v3/roles/{id}", guarded(self.delete)),
            web.get("/v3/roles/{id}/implies", guarded(self.list_implied)),
            web.get(implied, guarded(self.show_implied)),
            web.put(implied, guarded(self.add_implied)),
            web.delete(implied, guarded(self.remove_implied)),
            web.get("/v3/role_inferences", guarded(self.list_inferences)),
        ]

    async def list(self, exchange: Exchange) -> Reply:
        """Those that match name. Roles of a domain don't exist."""
        self._edge.require(exchange, "identity:list_roles")
        query = exchange.request.query
        found: list[Role] = []
        if query.get("domain_id", "") in ("", "null"):
            found = await all_roles(self._edge, ListRolesRequest(name=query.get("name", "")))
        base = self._edge.url(exchange)
        shown = [views.role(role, base) for role in found]
        return Reply({"roles": shown, "links": self._edge.links(exchange)})

    async def create(self, exchange: Exchange) -> Reply:
        """Make one."""
        self._edge.require(exchange, "identity:create_role")
        body = (await self._edge.body(exchange, CREATE_ROLE))["role"]
        wanted = Role(name=body["name"], description=body.get("description") or "")
        answer = await self._edge.roles.CreateRole(
            CreateRoleRequest(request_id=exchange.context.request_id, role=wanted), timeout=self._timeout
        )
        return Reply({"role": views.role(answer.role, self._edge.url(exchange))}, 201)

    async def show(self, exchange: Exchange) -> Reply:
        """One."""
        self._edge.require(exchange, "identity:get_role")
        role = await self._get(exchange.path("id"))
        return Reply({"role": views.role(role, self._edge.url(exchange))})

    async def update(self, exchange: Exchange) -> Reply:
        """Change one."""
        self._edge.require(exchange, "identity:update_role")
        body = (await self._edge.body(exchange, UPDATE_ROLE))["role"]
        wanted = Role(
            id=exchange.path("id"), name=body.get("name", ""), description=body.get("description") or ""
        )
        mask = [name for name in ("name", "description") if name in body]
        answer = await self._edge.roles.UpdateRole(
            UpdateRoleRequest(role=wanted, update_mask=mask), timeout=self._timeout
        )
        return Reply({"role": views.role(answer.role, self._edge.url(exchange))})

    async def delete(self, exchange: Exchange) -> Reply:
        """Remove one."""
        self._edge.require(exchange, "identity:delete_role")
        await self._edge.roles.DeleteRole(DeleteRoleRequest(id=exchange.path("id")), timeout=self._timeout)
        return Reply(status=204)

    async def list_implied(self, exchange: Exchange) -> Reply:
        """What one implies."""
        self._edge.require(exchange, "identity:get_role")
        role = await self._get(exchange.path("id"))
        names = await self._names()
        return Reply({"role_inference": _inference(role, names), "links": self._edge.links(exchange)})

    async def show_implied(self, exchange: Exchange) -> Reply:
        """Whether one implies another."""
        self._edge.require(exchange, "identity:get_role")
        role = await self._get(exchange.path("id"))
        if exchange.path("implied_id") not in role.implied_role_ids:
            raise HttpError(404, f"{role.id} doesn't imply {exchange.path('implied_id')}.")
        return Reply(await self._pair(role, exchange.path("implied_id")))

    async def add_implied(self, exchange: Exchange) -> Reply:
        """Let one imply another."""
        self._edge.require(exchange, "identity:update_role")
        answer = await self._edge.roles.AddImpliedRole(
            AddImpliedRoleRequest(
                prior_role_id=exchange.path("id"), implied_role_id=exchange.path("implied_id")
            ),
            timeout=self._timeout,
        )
        return Reply(await self._pair(answer.role, exchange.path("implied_id")), 201)

    async def remove_implied(self, exchange: Exchange) -> Reply:
        """Take that back."""
        self._edge.require(exchange, "identity:update_role")
        await self._edge.roles.RemoveImpliedRole(
            RemoveImpliedRoleRequest(
                prior_role_id=exchange.path("id"), implied_role_id=exchange.path("implied_id")
            ),
            timeout=self._timeout,
        )
        return Reply(status=204)

    async def list_inferences(self, exchange: Exchange) -> Reply:
        """What every role implies."""
        self._edge.require(exchange, "identity:list_roles")
        found = await all_roles(self._edge, ListRolesRequest())
        names = {role.id: role.name for role in found}
        shown = [_inference(role, names) for role in found if role.implied_role_ids]
        return Reply({"role_inferences": shown, "links": self._edge.links(exchange)})

    async def _get(self, role_id: str) -> Role:
        answer = await self._edge.roles.GetRole(GetRoleRequest(id=role_id), timeout=self._timeout)
        return answer.role

    async def _names(self) -> dict[str, str]:
        return {role.id: role.name for role in await all_roles(self._edge, ListRolesRequest())}

    async def _pair(self, role: Role, implied_id: str) -> Json:
        names = await self._names()
        prior = {"id": role.id, "name": role.name}
        return {
            "role_inference": {
                "prior_role": prior,
                "implies": {"id": implied_id, "name": names.get(implied_id, "")},
            }
        }


def _inference(role: Role, names: dict[str, str]) -> Json:
    return {
        "prior_role": {"id": role.id, "name": role.name},
        "implies": [{"id": implied, "name": names.get(implied, "")} for implied in role.implied_role_ids],
    }
