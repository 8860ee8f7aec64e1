"""The users and projects that a new cloud begins with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import structlog

from novamesh.conductor.v1.domain_service_pb2 import CreateDomainRequest, GetDomainRequest
from novamesh.conductor.v1.domain_service_pb2_grpc import DomainServiceStub
from novamesh.conductor.v1.project_service_pb2 import CreateProjectRequest, ListProjectsRequest
from novamesh.conductor.v1.project_service_pb2_grpc import ProjectServiceStub
from novamesh.conductor.v1.role_service_pb2 import (
    AddImpliedRoleRequest,
    AssignRoleRequest,
    CreateRoleRequest,
    ListRolesRequest,
)
from novamesh.conductor.v1.role_service_pb2_grpc import RoleServiceStub
from novamesh.conductor.v1.user_service_pb2 import ListUsersRequest
from novamesh.conductor.v1.user_service_pb2_grpc import UserServiceStub
from novamesh.failures import AlreadyExistsError, NotFoundError
from novamesh.identity.v1.credential_service_pb2 import CreateUserRequest
from novamesh.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from novamesh.types.v1.identity_pb2 import Domain, Project, Role, User
from services.mesh import Node

log = structlog.get_logger("novamesh.identity")

DOMAIN_ID = "default"
DOMAIN_NAME = "Default"
# Each implies the next.
ROLES = ("admin", "manager", "member", "reader")
# For other services' users: it may validate tokens, and implies nothing.
SERVICE_ROLE = "service"
PROJECTS: Mapping[str, str] = {
    "admin": "For administrators.",
    "demo": "For trying things out.",
    "service": "For the users of other services.",
}


@dataclass(frozen=True)
class Seeded:
    """Ids of what is there, by name."""

    projects: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SeedUser:
    """A user, and the roles that it has by project."""

    name: str
    default_project: str
    roles: Mapping[str, Sequence[str]]


USERS: Sequence[SeedUser] = (
    SeedUser("admin", "admin", {"admin": ["admin"], "demo": ["admin"]}),
    SeedUser("demo", "demo", {"demo": ["member"]}),
)


async def seed_identity(node: Node, passwords: Mapping[str, str]) -> Seeded:
    """Make what is missing of the domain `default`, its projects, users and roles. Safe to repeat.

    `passwords` has one for each name in USERS; a user who is there already keeps the one that it has.
    `node` is certified as gateway or admin. Raises UnavailableError while conductor or identity don't answer.
    """
    await _domain(node)
    roles = await _roles(node)
    projects = await _projects(node)
    users = {}
    for wanted in USERS:
        users[wanted.name] = await _user(
            node, wanted, projects[wanted.default_project], passwords[wanted.name]
        )
        for project, names in wanted.roles.items():
            for name in names:
                await RoleServiceStub(node.channel("conductor")).AssignRole(
                    AssignRoleRequest(
                        role_id=roles[name], user_id=users[wanted.name], project_id=projects[project]
                    )
                )
    return Seeded(projects, users, roles)


async def _domain(node: Node) -> None:
    stub = DomainServiceStub(node.channel("conductor"))
    try:
        await stub.GetDomain(GetDomainRequest(id=DOMAIN_ID))
    except NotFoundError:
        wanted = Domain(
            id=DOMAIN_ID, name=DOMAIN_NAME, description="The domain of a new cloud.", enabled=True
        )
        try:
            await stub.CreateDomain(CreateDomainRequest(domain=wanted))
        except AlreadyExistsError:
            # Another `up` of the same cloud was faster.
            log.info("domain made meanwhile", domain_id=DOMAIN_ID)


async def _roles(node: Node) -> dict[str, str]:
    stub = RoleServiceStub(node.channel("conductor"))
    there = {role.name: role for role in (await stub.ListRoles(ListRolesRequest())).roles}
    for name in (*ROLES, SERVICE_ROLE):
        if name not in there:
            there[name] = (await stub.CreateRole(CreateRoleRequest(role=Role(name=name)))).role
    for prior, implied in pairwise(ROLES):
        if there[implied].id not in there[prior].implied_role_ids:
            await stub.AddImpliedRole(
                AddImpliedRoleRequest(prior_role_id=there[prior].id, implied_role_id=there[implied].id)
            )
    return {name: role.id for name, role in there.items()}


async def _projects(node: Node) -> dict[str, str]:
    stub = ProjectServiceStub(node.channel("conductor"))
    answer = await stub.ListProjects(ListProjectsRequest(domain_id=DOMAIN_ID))
    there = {project.name: project.id for project in answer.projects}
    for name, description in PROJECTS.items():
        if name not in there:
            wanted = Project(name=name, domain_id=DOMAIN_ID, description=description, enabled=True)
            made = await stub.CreateProject(CreateProjectRequest(project=wanted))
            there[name] = made.project.id
    return there


async def _user(node: Node, wanted: SeedUser, project_id: str, password: str) -> str:
    answer = await UserServiceStub(node.channel("conductor")).ListUsers(
        ListUsersRequest(domain_id=DOMAIN_ID, name=wanted.name)
    )
    if answer.users:
        return answer.users[0].id
    user = User(name=wanted.name, domain_id=DOMAIN_ID, default_project_id=project_id, enabled=True)
    made = await CredentialServiceStub(node.channel("identity")).CreateUser(
        CreateUserRequest(user=user, password=password)
    )
    return made.user.id
