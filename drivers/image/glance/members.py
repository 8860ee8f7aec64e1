"""Members of images in a Glance."""

from collections.abc import Sequence
from urllib.parse import quote

from drivers.image.glance.http import GlanceHttp, Request
from drivers.image.glance.records import member_from
from novamesh.failures import AlreadyExistsError, ImageUnacceptableError, NotFoundError
from novamesh.types.v1.image_member_pb2 import ImageMember, ImageMemberStatus


class GlanceMembers:
    """Implements MemberDriver."""

    def __init__(self, http: GlanceHttp) -> None:
        self._http = http

    async def add_member(self, image_id: str, project_id: str, limit: int) -> ImageMember:
        """As in MemberDriver; Glance's own quota counts, not `limit`."""
        request = Request("POST", _path(image_id), image_id, body={"member": project_id})
        try:
            return member_from(await self._http.json(request))
        except ImageUnacceptableError as failure:
            raise AlreadyExistsError("member", project_id) from failure

    async def get_member(self, image_id: str, project_id: str) -> ImageMember:
        """As in MemberDriver."""
        return member_from(
            await self._about(Request("GET", _path(image_id, project_id), image_id), project_id)
        )

    async def list_members(self, image_id: str) -> Sequence[ImageMember]:
        """As in MemberDriver."""
        answer = await self._http.json(Request("GET", _path(image_id), image_id))
        return [member_from(view) for view in answer["members"]]

    async def update_member(
        self, image_id: str, project_id: str, status: ImageMemberStatus.ValueType
    ) -> ImageMember:
        """As in MemberDriver."""
        word = ImageMemberStatus.Name(status).rpartition("_")[2].lower()
        request = Request("PUT", _path(image_id, project_id), image_id, body={"status": word})
        return member_from(await self._about(request, project_id))

    async def remove_member(self, image_id: str, project_id: str) -> None:
        """As in MemberDriver."""
        await self._about(Request("DELETE", _path(image_id, project_id), image_id), project_id)

    async def _about(self, request: Request, project_id: str) -> dict[str, str]:
        try:
            answer: dict[str, str] = await self._http.json(request)
        except NotFoundError as failure:
            raise NotFoundError("member", project_id) from failure
        return answer


def _path(image_id: str, project_id: str = "") -> str:
    path = f"/v2/images/{quote(image_id, safe='')}/members"
    return f"{path}/{quote(project_id, safe='')}" if project_id else path
