"""Records of users. AuthenticationServicer makes them."""

from db import users
from db.database import Database
from novamesh.conductor.v1.user_service_pb2 import (
    DeleteUserRequest,
    DeleteUserResponse,
    GetUserRequest,
    GetUserResponse,
    ListUsersRequest,
    ListUsersResponse,
    UpdateUserRequest,
    UpdateUserResponse,
)
from services.conductor.revocations import RevocationFeed
from services.mesh import Call


class UserServicer:
    """Answers novamesh.conductor.v1.UserService."""

    def __init__(self, database: Database, feed: RevocationFeed) -> None:
        self._database = database
        self._feed = feed

    async def GetUser(self, request: GetUserRequest, call: Call) -> GetUserResponse:
        """One record."""
        return GetUserResponse(user=await self._database.read(lambda c: users.get(c, request.id)))

    async def ListUsers(self, request: ListUsersRequest, call: Call) -> ListUsersResponse:
        """A page of records."""
        found, more = await self._database.read(lambda c: users.find(c, request))
        return ListUsersResponse(users=found, more=more)

    async def UpdateUser(self, request: UpdateUserRequest, call: Call) -> UpdateUserResponse:
        """Write fields of a record."""
        changed = await self._database.write(lambda c: users.change(c, request.user, request.update_mask))
        self._feed.wake()
        return UpdateUserResponse(user=changed)

    async def DeleteUser(self, request: DeleteUserRequest, call: Call) -> DeleteUserResponse:
        """Drop a record."""
        await self._database.write(lambda c: users.remove(c, request.id))
        self._feed.wake()
        return DeleteUserResponse()
