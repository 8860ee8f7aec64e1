"""Members: the projects that shared images are shared with."""

from drivers.image import ImageDriver
from novamesh.failures import InvalidArgumentError, NotFoundError, PermissionDeniedError
from novamesh.image.v1.member_service_pb2 import (
    AddMemberRequest,
    AddMemberResponse,
    GetMemberRequest,
    GetMemberResponse,
    ListMembersRequest,
    ListMembersResponse,
    RemoveMemberRequest,
    RemoveMemberResponse,
    UpdateMemberRequest,
    UpdateMemberResponse,
)
from novamesh.types.v1.image_member_pb2 import ImageMemberStatus
from novamesh.types.v1.image_pb2 import IMAGE_VISIBILITY_SHARED, Image
from services.image.options import ImageOptions
from services.image.rules import Viewer, owns, viewer_of, visible_image
from services.mesh import Call


class MemberServicer:
    """Answers novamesh.image.v1.MemberService."""

    def __init__(self, driver: ImageDriver, options: ImageOptions) -> None:
        self._driver = driver
        self._options = options

    async def AddMember(self, request: AddMemberRequest, call: Call) -> AddMemberResponse:
        """Share an image with a project."""
        viewer = viewer_of(call, reading=False)
        await self._owned(viewer, request.image_id, "add_member")
        if not 0 < len(request.project_id) <= 255:
            raise InvalidArgumentError("project_id", "A member's project id must have 1 to 255 characters.")
        limit = self._options.image_member_quota
        member = await self._driver.members.add_member(request.image_id, request.project_id, limit)
        return AddMemberResponse(member=member)

    async def GetMember(self, request: GetMemberRequest, call: Call) -> GetMemberResponse:
        """One member, for the owner and for itself."""
        viewer = viewer_of(call, reading=True)
        image = await self._shared(viewer, request.image_id)
        if not owns(viewer, image) and viewer.project_id != request.project_id:
            raise NotFoundError("member", request.project_id)
        member = await self._driver.members.get_member(request.image_id, request.project_id)
        return GetMemberResponse(member=member)

    async def ListMembers(self, request: ListMembersRequest, call: Call) -> ListMembersResponse:
        """All members for the owner, itself for a member."""
        viewer = viewer_of(call, reading=True)
        image = await self._shared(viewer, request.image_id)
        if owns(viewer, image):
            return ListMembersResponse(members=await self._driver.members.list_members(image.id))
        return ListMembersResponse(
            members=[await self._driver.members.get_member(image.id, viewer.project_id)]
        )

    async def UpdateMember(self, request: UpdateMemberRequest, call: Call) -> UpdateMemberResponse:
        """Accept, decline or leave open."""
        viewer = viewer_of(call, reading=False)
        await self._shared(viewer, request.image_id)
        if not viewer.unbounded and viewer.project_id != request.project_id:
            raise PermissionDeniedError("modify_member", "Only the member itself may change its status.")
        if not request.status or request.status not in ImageMemberStatus.values():
            raise InvalidArgumentError("status", "The status must be pending, accepted or rejected.")
        member = await self._driver.members.update_member(
            request.image_id, request.project_id, request.status
        )
        return UpdateMemberResponse(member=member)

    async def RemoveMember(self, request: RemoveMemberRequest, call: Call) -> RemoveMemberResponse:
        """End the sharing with a project."""
        viewer = viewer_of(call, reading=False)
        await self._owned(viewer, request.image_id, "delete_member")
        await self._driver.members.remove_member(request.image_id, request.project_id)
        return RemoveMemberResponse()

    async def _shared(self, viewer: Viewer, image_id: str) -> Image:
        image = await visible_image(self._driver, viewer, image_id)
        if image.visibility != IMAGE_VISIBILITY_SHARED:
            raise PermissionDeniedError("get_members", "Only shared images have members.")
        return image

    async def _owned(self, viewer: Viewer, image_id: str, rule: str) -> None:
        image = await self._shared(viewer, image_id)
        if not owns(viewer, image):
            raise PermissionDeniedError(rule, f"Not allowed to change the members of image {image_id}.")
