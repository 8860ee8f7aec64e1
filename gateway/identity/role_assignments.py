"""Who has which role on what."""

from aiohttp import web

from gateway.faults import HttpError
from gateway.identity import views
from gateway.identity.edge import Edge, Exchange, Reply
from gateway.identity.paging import all_roles
from novamesh.conductor.v1.role_service_pb2 import (
    AssignRoleRequest,
    ListRoleAssignmentsRequest,
    ListRolesRequest,
    UnassignRoleRequest,
)

_OTHER_ACTORS = ("group.id", "scope.system", "scope.OS-INHERIT:inherited_to")


class RoleAssignmentResource:
    """/v3/role_assignments, and users' roles below /v3/projects and /v3/domains."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._timeout = edge.options.rpc_timeout

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        routes = [web.get("/v3/role_assignments", guarded(self.list))]
        for kind in ("project", "domain"):
            roles = f"/v3/{kind}s/{{{kind}_id}}/users/{{user_id}}/roles"
            routes += [
                web.get(roles, guarded(self.list_grants)),
                web.get(f"{roles}/{{role_id}}", guarded(self.check)),
                web.put(f"{roles}/{{role_id}}", guarded(self.assign)),
                web.delete(f"{roles}/{{role_id}}", guarded(self.unassign)),
            ]
        return routes

    async def list(self, exchange: Exchange) -> Reply:
        """Those that match user, role, project and domain; with `effective`, implied ones too."""
        self._edge.require(exchange, "identity:list_role_assignments")
        query = exchange.request.query
        found = []
        # Groups, the system and inheritance have no assignments here, so a filter by one matches none.
        if not any(query.get(name) for name in _OTHER_ACTORS):
            request = ListRoleAssignmentsRequest(
                role_id=query.get("role.id", ""),
                user_id=query.get("user.id", ""),
                project_id=query.get("scope.project.id", ""),
                domain_id=query.get("scope.domain.id", ""),
                effective=exchange.flag("effective"),
            )
            answer = await self._edge.roles.ListRoleAssignments(request, timeout=self._timeout)
            base, names = self._edge.url(exchange), exchange.flag("include_names")
            found = [views.role_assignment(given, base, names) for given in answer.role_assignments]
        return Reply({"role_assignments": found, "links": self._edge.links(exchange)})

    async def list_grants(self, exchange: Exchange) -> Reply:
        """A user's roles on a project or a domain."""
        self._edge.require(exchange, "identity:list_grants")
        answer = await self._edge.roles.ListRoleAssignments(self._asked(exchange), timeout=self._timeout)
        ids = sorted({given.role.id for given in answer.role_assignments})
        found = await all_roles(self._edge, ListRolesRequest(ids=ids)) if ids else []
        base = self._edge.url(exchange)
        shown = [views.role(role, base) for role in found]
        return Reply({"roles": shown, "links": self._edge.links(exchange)})

    async def check(self, exchange: Exchange) -> Reply:
        """Whether a user has a role."""
        self._edge.require(exchange, "identity:check_grant")
        answer = await self._edge.roles.ListRoleAssignments(self._asked(exchange), timeout=self._timeout)
        if not answer.role_assignments:
            raise HttpError(404, f"Could not find role assignment with role: {exchange.path('role_id')}.")
        return Reply(status=204)

    async def assign(self, exchange: Exchange) -> Reply:
        """Give a role."""
        self._edge.require(exchange, "identity:create_grant")
        asked = self._asked(exchange)
        await self._edge.roles.AssignRole(
            AssignRoleRequest(
                role_id=asked.role_id,
                user_id=asked.user_id,
                project_id=asked.project_id,
                domain_id=asked.domain_id,
            ),
            timeout=self._timeout,
        )
        return Reply(status=204)

    async def unassign(self, exchange: Exchange) -> Reply:
        """Take it back; ends the user's tokens for that project or domain."""
        self._edge.require(exchange, "identity:revoke_grant")
        asked = self._asked(exchange)
        await self._edge.roles.UnassignRole(
            UnassignRoleRequest(
                role_id=asked.role_id,
                user_id=asked.user_id,
                project_id=asked.project_id,
                domain_id=asked.domain_id,
            ),
            timeout=self._timeout,
        )
        return Reply(status=204)

    def _asked(self, exchange: Exchange) -> ListRoleAssignmentsRequest:
        parts = exchange.request.match_info
        return ListRoleAssignmentsRequest(
            role_id=parts.get("role_id", ""),
            user_id=parts["user_id"],
            project_id=parts.get("project_id", ""),
            domain_id=parts.get("domain_id", ""),
        )
