"""Members of the local driver's images: records in the conductor."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from novamesh.conductor.v1.image_member_service_pb2 import (
    CreateImageMemberRequest,
    DeleteImageMemberRequest,
    GetImageMemberRequest,
    ListImageMembersRequest,
    UpdateImageMemberRequest,
)
from novamesh.types.v1.image_member_pb2 import ImageMember, ImageMemberStatus

if TYPE_CHECKING:
    from novamesh.conductor.v1.image_member_service_pb2_grpc import ImageMemberServiceAsyncStub

# Seconds that a record call may take.
_TIMEOUT = 30.0


class LocalMembers:
    """Implements MemberDriver."""

    def __init__(self, records: "ImageMemberServiceAsyncStub") -> None:
        self._records = records

    async def add_member(self, image_id: str, project_id: str, limit: int) -> ImageMember:
        """As in MemberDriver."""
        request = CreateImageMemberRequest(image_id=image_id, project_id=project_id, limit=limit)
        return (await self._records.CreateImageMember(request, timeout=_TIMEOUT)).member

    async def get_member(self, image_id: str, project_id: str) -> ImageMember:
        """As in MemberDriver."""
        request = GetImageMemberRequest(image_id=image_id, project_id=project_id)
        return (await self._records.GetImageMember(request, timeout=_TIMEOUT)).member

    async def list_members(self, image_id: str) -> Sequence[ImageMember]:
        """As in MemberDriver."""
        request = ListImageMembersRequest(image_id=image_id)
        return (await self._records.ListImageMembers(request, timeout=_TIMEOUT)).members

    async def update_member(
        self, image_id: str, project_id: str, status: ImageMemberStatus.ValueType
    ) -> ImageMember:
        """As in MemberDriver."""
        request = UpdateImageMemberRequest(image_id=image_id, project_id=project_id, status=status)
        return (await self._records.UpdateImageMember(request, timeout=_TIMEOUT)).member

    async def remove_member(self, image_id: str, project_id: str) -> None:
        """As in MemberDriver."""
        request = DeleteImageMemberRequest(image_id=image_id, project_id=project_id)
        await self._records.DeleteImageMember(request, timeout=_TIMEOUT)
