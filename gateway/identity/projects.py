"""Projects."""

from typing import Any

from aiohttp import web

from gateway.faults import HttpError
from gateway.identity import views
from gateway.identity.edge import Edge, Exchange, Reply
from gateway.identity.paging import all_projects
from gateway.identity.schemas import CREATE_PROJECT, UPDATE_PROJECT
from novamesh.conductor.v1.project_service_pb2 import (
    CreateProjectRequest,
    DeleteProjectRequest,
    GetProjectRequest,
    ListProjectsRequest,
    UpdateProjectRequest,
)
from novamesh.types.v1.identity_pb2 import Project

DEFAULT_DOMAIN = "default"


class ProjectResource:
    """/v3/projects and /v3/users/{id}/projects."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._timeout = edge.options.rpc_timeout

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        return [
            web.get("/v3/projects", guarded(self.list)),
            web.post("/v3/projects", guarded(self.create)),
            web.get("/v3/projects/{id}", guarded(self.show)),
            web.patch("/v3/projects/{id}", guarded(self.update)),
            web.delete("/v3/projects/{id}", guarded(self.delete)),
            web.get("/v3/users/{id}/projects", guarded(self.list_of_user)),
        ]

    async def list(self, exchange: Exchange) -> Reply:
        """Those that match domain_id, name, parent_id and enabled."""
        self._edge.require(exchange, "identity:list_projects")
        return await self._list(exchange, "")

    async def list_of_user(self, exchange: Exchange) -> Reply:
        """Those that a user has a role on."""
        self._edge.require(exchange, "identity:list_user_projects", user_id=exchange.path("id"))
        return await self._list(exchange, exchange.path("id"))

    async def create(self, exchange: Exchange) -> Reply:
        """Make one."""
        self._edge.require(exchange, "identity:create_project")
        body = (await self._edge.body(exchange, CREATE_PROJECT))["project"]
        domain_id = body.get("domain_id") or body.get("parent_id")
        domain_id = domain_id or exchange.context.project_domain_id or DEFAULT_DOMAIN
        _refuse_tree(body, domain_id)
        wanted = Project(
            name=body["name"],
            domain_id=domain_id,
            description=body.get("description") or "",
            enabled=body.get("enabled", True),
            tags=body.get("tags", []),
        )
        answer = await self._edge.projects.CreateProject(
            CreateProjectRequest(request_id=exchange.context.request_id, project=wanted),
            timeout=self._timeout,
        )
        return Reply({"project": views.project(answer.project, self._edge.url(exchange))}, 201)

    async def show(self, exchange: Exchange) -> Reply:
        """One."""
        self._edge.require(exchange, "identity:get_project", project_id=exchange.path("id"))
        answer = await self._edge.projects.GetProject(
            GetProjectRequest(id=exchange.path("id")), timeout=self._timeout
        )
        return Reply({"project": views.project(answer.project, self._edge.url(exchange))})

    async def update(self, exchange: Exchange) -> Reply:
        """Change one."""
        self._edge.require(exchange, "identity:update_project")
        body = (await self._edge.body(exchange, UPDATE_PROJECT))["project"]
        if body.keys() & {"domain_id", "parent_id"}:
            present = await self._edge.projects.GetProject(
                GetProjectRequest(id=exchange.path("id")), timeout=self._timeout
            )
            _refuse_tree(body, present.project.domain_id)
        wanted = Project(
            id=exchange.path("id"),
            name=body.get("name", ""),
            description=body.get("description") or "",
            enabled=body.get("enabled", False),
            tags=body.get("tags", []),
        )
        mask = [name for name in ("name", "description", "enabled", "tags") if name in body]
        answer = await self._edge.projects.UpdateProject(
            UpdateProjectRequest(project=wanted, update_mask=mask), timeout=self._timeout
        )
        return Reply({"project": views.project(answer.project, self._edge.url(exchange))})

    async def delete(self, exchange: Exchange) -> Reply:
        """Remove one."""
        self._edge.require(exchange, "identity:delete_project")
        await self._edge.projects.DeleteProject(
            DeleteProjectRequest(id=exchange.path("id")), timeout=self._timeout
        )
        return Reply(status=204)

    async def _list(self, exchange: Exchange, user_id: str) -> Reply:
        query = exchange.request.query
        request = ListProjectsRequest(
            user_id=user_id,
            name=query.get("name", ""),
            domain_id=query.get("domain_id", "") or query.get("parent_id", ""),
            enabled=exchange.flag("enabled") if "enabled" in query else None,
        )
        # Domains aren't projects here, as `is_domain=true` would have them.
        found = [] if exchange.flag("is_domain") else await all_projects(self._edge, request)
        base = self._edge.url(exchange)
        shown = [views.project(project, base) for project in found]
        return Reply({"projects": shown, "links": self._edge.links(exchange)})


def _refuse_tree(body: dict[str, Any], domain_id: str) -> None:
    """Projects are all children of their domain, and stay in it."""
    for field in ("parent_id", "domain_id"):
        if body.get(field) not in (None, domain_id):
            raise HttpError(
                400,
                f"Invalid input for field 'project/{field}': a project is a child of its domain.",
            )
