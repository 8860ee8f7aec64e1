"""Records of roles, what they imply, and who has them."""

from db import role_assignments, roles
from db.database import Database
from novamesh.conductor.v1.role_service_pb2 import (
    AddImpliedRoleRequest,
    AddImpliedRoleResponse,
    AssignRoleRequest,
    AssignRoleResponse,
    CreateRoleRequest,
    CreateRoleResponse,
    DeleteRoleRequest,
    DeleteRoleResponse,
    GetRoleRequest,
    GetRoleResponse,
    ListRoleAssignmentsRequest,
    ListRoleAssignmentsResponse,
    ListRolesRequest,
    ListRolesResponse,
    RemoveImpliedRoleRequest,
    RemoveImpliedRoleResponse,
    UnassignRoleRequest,
    UnassignRoleResponse,
    UpdateRoleRequest,
    UpdateRoleResponse,
)
from services.conductor.revocations import RevocationFeed
from services.mesh import Call


class RoleServicer:
    """Answers novamesh.conductor.v1.RoleService."""

    def __init__(self, database: Database, feed: RevocationFeed) -> None:
        self._database = database
        self._feed = feed

    async def CreateRole(self, request: CreateRoleRequest, call: Call) -> CreateRoleResponse:
        """Write a new record."""
        made = await self._database.write(lambda c: roles.create(c, request.role, request.request_id))
        return CreateRoleResponse(role=made)

    async def GetRole(self, request: GetRoleRequest, call: Call) -> GetRoleResponse:
        """One record."""
        return GetRoleResponse(role=await self._database.read(lambda c: roles.get(c, request.id)))

    async def ListRoles(self, request: ListRolesRequest, call: Call) -> ListRolesResponse:
        """A page of records."""
        found, more = await self._database.read(
            lambda c: roles.find(c, request.name, request.ids, request.page_size, request.marker)
        )
        return ListRolesResponse(roles=found, more=more)

    async def UpdateRole(self, request: UpdateRoleRequest, call: Call) -> UpdateRoleResponse:
        """Write fields of a record."""
        changed = await self._database.write(lambda c: roles.change(c, request.role, request.update_mask))
        self._feed.wake()
        return UpdateRoleResponse(role=changed)

    async def DeleteRole(self, request: DeleteRoleRequest, call: Call) -> DeleteRoleResponse:
        """Drop a record."""
        await self._database.write(lambda c: roles.remove(c, request.id))
        self._feed.wake()
        return DeleteRoleResponse()

    async def AddImpliedRole(self, request: AddImpliedRoleRequest, call: Call) -> AddImpliedRoleResponse:
        """Let a role imply another."""
        role = await self._database.write(
            lambda c: roles.imply(c, request.prior_role_id, request.implied_role_id)
        )
        return AddImpliedRoleResponse(role=role)

    async def RemoveImpliedRole(
        self, request: RemoveImpliedRoleRequest, call: Call
    ) -> RemoveImpliedRoleResponse:
        """Take that back."""
        role = await self._database.write(
            lambda c: roles.unimply(c, request.prior_role_id, request.implied_role_id)
        )
        self._feed.wake()
        return RemoveImpliedRoleResponse(role=role)

    async def AssignRole(self, request: AssignRoleRequest, call: Call) -> AssignRoleResponse:
        """Give a user a role."""
        await self._database.write(
            lambda c: role_assignments.assign(
                c, request.role_id, request.user_id, request.project_id, request.domain_id
            )
        )
        return AssignRoleResponse()

    async def UnassignRole(self, request: UnassignRoleRequest, call: Call) -> UnassignRoleResponse:
        """Take it back."""
        await self._database.write(
            lambda c: role_assignments.unassign(
                c, request.role_id, request.user_id, request.project_id, request.domain_id
            )
        )
        self._feed.wake()
        return UnassignRoleResponse()

    async def ListRoleAssignments(
        self, request: ListRoleAssignmentsRequest, call: Call
    ) -> ListRoleAssignmentsResponse:
        """Who has which role."""
        found = await self._database.read(lambda c: role_assignments.find(c, request))
        return ListRoleAssignmentsResponse(role_assignments=found)
