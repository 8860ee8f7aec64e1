"""Records of the projects that images are shared with, for the image role's local driver."""

from db import image_members
from db.database import Database
from novamesh.conductor.v1.image_member_service_pb2 import (
    CreateImageMemberRequest,
    CreateImageMemberResponse,
    DeleteImageMemberRequest,
    DeleteImageMemberResponse,
    GetImageMemberRequest,
    GetImageMemberResponse,
    ListImageMembersRequest,
    ListImageMembersResponse,
    UpdateImageMemberRequest,
    UpdateImageMemberResponse,
)
from services.mesh import Call


class ImageMemberServicer:
    """Answers novamesh.conductor.v1.ImageMemberService."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateImageMember(
        self, request: CreateImageMemberRequest, call: Call
    ) -> CreateImageMemberResponse:
        """Write a pending member."""
        member = await self._database.write(
            lambda c: image_members.create(c, request.image_id, request.project_id, request.limit)
        )
        return CreateImageMemberResponse(member=member)

    async def GetImageMember(self, request: GetImageMemberRequest, call: Call) -> GetImageMemberResponse:
        """One member."""
        member = await self._database.read(
            lambda c: image_members.get(c, request.image_id, request.project_id)
        )
        return GetImageMemberResponse(member=member)

    async def ListImageMembers(
        self, request: ListImageMembersRequest, call: Call
    ) -> ListImageMembersResponse:
        """All members of an image."""
        members = await self._database.read(lambda c: image_members.list_all(c, request.image_id))
        return ListImageMembersResponse(members=members)

    async def UpdateImageMember(
        self, request: UpdateImageMemberRequest, call: Call
    ) -> UpdateImageMemberResponse:
        """Write a member's status."""
        member = await self._database.write(
            lambda c: image_members.write_status(c, request.image_id, request.project_id, request.status)
        )
        return UpdateImageMemberResponse(member=member)

    async def DeleteImageMember(
        self, request: DeleteImageMemberRequest, call: Call
    ) -> DeleteImageMemberResponse:
        """Drop a member."""
        await self._database.write(lambda c: image_members.remove(c, request.image_id, request.project_id))
        return DeleteImageMemberResponse()
