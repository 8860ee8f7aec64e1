"""Server groups. How they bind placement is in hints.py and claims.py."""

from collections.abc import Mapping

from db import quotas, server_groups
from db.database import Connection, Database
from db.schema.base import now
from novamesh.conductor.v1.server_group_service_pb2 import (
    CreateServerGroupRequest,
    CreateServerGroupResponse,
    DeleteServerGroupRequest,
    DeleteServerGroupResponse,
    GetServerGroupRequest,
    GetServerGroupResponse,
    ListServerGroupsRequest,
    ListServerGroupsResponse,
)
from novamesh.failures import InvalidArgumentError
from novamesh.types.v1.server_group_pb2 import ServerGroup
from services.conductor import limits
from services.conductor.limits import Owner
from services.mesh import Call


class ServerGroupServicer:
    """Answers novamesh.conductor.v1.ServerGroupService."""

    def __init__(self, database: Database, quota: Mapping[str, int]) -> None:
        self._database = database
        self._quota = quota

    async def CreateServerGroup(
        self, request: CreateServerGroupRequest, call: Call
    ) -> CreateServerGroupResponse:
        """Make an empty one."""
        wanted = ServerGroup()
        wanted.CopyFrom(request.server_group)
        wanted.project_id = call.context.project_id or wanted.project_id
        wanted.user_id = call.context.user_id or wanted.user_id
        _check(wanted)
        at = now()

        def work(connection: Connection) -> ServerGroup:
            owner = Owner(wanted.project_id, wanted.user_id)
            # Its lock makes the count exact.
            quotas.lock_usage(connection, owner.project_id, owner.user_id)
            of_project, of_user = limits.limits_of(connection, owner, self._quota)
            used = server_groups.count(connection, owner.project_id)
            limits.check_count("server_groups", of_project["server_groups"], used, 1)
            if "server_groups" in of_user:
                used = server_groups.count(connection, owner.project_id, owner.user_id)
                limits.check_count("server_groups", of_user["server_groups"], used, 1)
            return server_groups.add(connection, wanted, at)

        return CreateServerGroupResponse(server_group=await self._database.write(work))

    async def GetServerGroup(self, request: GetServerGroupRequest, call: Call) -> GetServerGroupResponse:
        """One of them."""
        found = await self._database.read(lambda c: server_groups.get(c, request.id))
        return GetServerGroupResponse(server_group=found)

    async def ListServerGroups(
        self, request: ListServerGroupsRequest, call: Call
    ) -> ListServerGroupsResponse:
        """A page."""
        found = await self._database.read(
            lambda c: server_groups.page(c, request.project_id, request.page_size, max(0, request.offset))
        )
        return ListServerGroupsResponse(server_groups=found)

    async def DeleteServerGroup(
        self, request: DeleteServerGroupRequest, call: Call
    ) -> DeleteServerGroupResponse:
        """Remove one."""
        await self._database.write(lambda c: server_groups.remove(c, request.id))
        return DeleteServerGroupResponse()


def _check(group: ServerGroup) -> None:
    if group.policy not in server_groups.POLICIES:
        raise InvalidArgumentError("policy", f"There is no policy {group.policy!r} for server groups.")
    if group.max_server_per_host < 0:
        raise InvalidArgumentError("max_server_per_host", "max_server_per_host must be 1 or more.")
    if group.max_server_per_host and group.policy != server_groups.ANTI_AFFINITY:
        raise InvalidArgumentError("max_server_per_host", "Only anti-affinity policy supports rules.")
