"""Whole lists, which is what Keystone answers, from the pages of the conductor."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from gateway.identity.edge import Edge
from novamesh.conductor.v1.domain_service_pb2 import ListDomainsRequest
from novamesh.conductor.v1.project_service_pb2 import ListProjectsRequest
from novamesh.conductor.v1.role_service_pb2 import ListRolesRequest
from novamesh.conductor.v1.user_service_pb2 import ListUsersRequest
from novamesh.types.v1.identity_pb2 import Domain, Project, Role, User

R = TypeVar("R", ListDomainsRequest, ListProjectsRequest, ListRolesRequest, ListUsersRequest)


async def all_domains(edge: Edge, request: ListDomainsRequest) -> list[Domain]:
    """The domains that match."""
    return await _all(
        request, lambda r: edge.domains.ListDomains(r, timeout=edge.options.rpc_timeout), "domains"
    )


async def all_projects(edge: Edge, request: ListProjectsRequest) -> list[Project]:
    """The projects that match."""
    return await _all(
        request, lambda r: edge.projects.ListProjects(r, timeout=edge.options.rpc_timeout), "projects"
    )


async def all_users(edge: Edge, request: ListUsersRequest) -> list[User]:
    """The users that match."""
    return await _all(request, lambda r: edge.users.ListUsers(r, timeout=edge.options.rpc_timeout), "users")


async def all_roles(edge: Edge, request: ListRolesRequest) -> list[Role]:
    """The roles that match."""
    return await _all(request, lambda r: edge.roles.ListRoles(r, timeout=edge.options.rpc_timeout), "roles")


async def _all(request: R, ask: Callable[[R], Awaitable[Any]], name: str) -> list[Any]:
    found: list[Any] = []
    while True:
        page = await ask(request)
        found += getattr(page, name)
        if not page.more:
            return found
        # A request that was sent is never changed.
        following = type(request)()
        following.CopyFrom(request)
        following.marker = found[-1].id
        request = following
