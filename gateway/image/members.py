"""Members of shared images."""

from aiohttp import web

from gateway.faults import HttpError
from gateway.image.edge import Edge, json, read_json
from gateway.image.views import MEMBER_STATUSES, show_member
from novamesh.failures import AlreadyExistsError, PermissionDeniedError
from novamesh.image.v1.member_service_pb2 import (
    AddMemberRequest,
    GetMemberRequest,
    ListMembersRequest,
    RemoveMemberRequest,
    UpdateMemberRequest,
)
from novamesh.types.v1.request_context_pb2 import RequestContext

_MEMBERS = "/v2/images/{image_id}/members"
_MEMBER = _MEMBERS + "/{member_id}"


class MemberResource:
    """/v2/images/{id}/members."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._timeout = edge.options.rpc_timeout

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        return [
            web.get(_MEMBERS, guarded(self.list_members)),
            web.post(_MEMBERS, guarded(self.add)),
            web.get(_MEMBER, guarded(self.show)),
            web.put(_MEMBER, guarded(self.update)),
            web.delete(_MEMBER, guarded(self.remove)),
        ]

    async def list_members(self, request: web.Request, context: RequestContext) -> web.Response:
        """GET /v2/images/{id}/members."""
        image = await self._edge.image(context, request.match_info["image_id"], "get_members")
        asked = ListMembersRequest(image_id=image.id)
        answer = await self._edge.members.ListMembers(asked, timeout=self._timeout)
        members = [show_member(member) for member in answer.members]
        return json({"members": members, "schema": "/v2/schemas/members"})

    async def add(self, request: web.Request, context: RequestContext) -> web.Response:
        """POST /v2/images/{id}/members."""
        body = await read_json(request)
        if not isinstance(body, dict) or "member" not in body:
            raise HttpError(400, "Member to be added not specified")
        project = body["member"]
        if not isinstance(project, str) or not project:
            raise HttpError(400, "Member can't be empty")
        image = await self._edge.image(context, request.match_info["image_id"], "add_member")
        asked = AddMemberRequest(image_id=image.id, project_id=project)
        try:
            answer = await self._edge.members.AddMember(asked, timeout=self._timeout)
        except AlreadyExistsError as failure:
            message = f"Member {project} is duplicated for image {image.id}"
            raise HttpError(409, message) from failure
        return json(show_member(answer.member))

    async def show(self, request: web.Request, context: RequestContext) -> web.Response:
        """GET /v2/images/{id}/members/{project}."""
        image = await self._edge.image(context, request.match_info["image_id"], "get_member")
        asked = GetMemberRequest(image_id=image.id, project_id=request.match_info["member_id"])
        try:
            answer = await self._edge.members.GetMember(asked, timeout=self._timeout)
        except PermissionDeniedError as failure:
            # Glance's answer to a question about an image that has no members.
            raise HttpError(404, failure.message) from failure
        return json(show_member(answer.member))

    async def update(self, request: web.Request, context: RequestContext) -> web.Response:
        """PUT /v2/images/{id}/members/{project}."""
        body = await read_json(request)
        if not isinstance(body, dict) or "status" not in body:
            raise HttpError(400, "Status not specified")
        status = MEMBER_STATUSES.get(body["status"]) if isinstance(body["status"], str) else None
        if status is None:
            words = ", ".join(MEMBER_STATUSES)
            raise HttpError(400, f"Incorrect request: status must be one of {words}.")
        project = request.match_info["member_id"]
        image = await self._edge.image(context, request.match_info["image_id"], "get_member")
        self._edge.require(context, "modify_member", project)
        asked = UpdateMemberRequest(image_id=image.id, project_id=project, status=status)
        answer = await self._edge.members.UpdateMember(asked, timeout=self._timeout)
        return json(show_member(answer.member))

    async def remove(self, request: web.Request, context: RequestContext) -> web.Response:
        """DELETE /v2/images/{id}/members/{project}."""
        image = await self._edge.image(context, request.match_info["image_id"], "delete_member")
        asked = RemoveMemberRequest(image_id=image.id, project_id=request.match_info["member_id"])
        await self._edge.members.RemoveMember(asked, timeout=self._timeout)
        return web.Response(status=204)
