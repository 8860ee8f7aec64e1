"""Users."""

from aiohttp import web

from gateway.faults import HttpError
from gateway.identity import views
from gateway.identity.edge import Edge, Exchange, Reply
from gateway.identity.paging import all_users
from gateway.identity.projects import DEFAULT_DOMAIN
from gateway.identity.schemas import CHANGE_PASSWORD, CREATE_USER, UPDATE_USER
from novamesh.conductor.v1.user_service_pb2 import (
    DeleteUserRequest,
    GetUserRequest,
    ListUsersRequest,
    UpdateUserRequest,
)
from novamesh.identity.v1.credential_service_pb2 import (
    ChangePasswordRequest,
    CreateUserRequest,
    SetPasswordRequest,
)
from novamesh.types.v1.identity_pb2 import User

_FIELDS = ("name", "description", "email", "default_project_id", "enabled")


class UserResource:
    """/v3/users."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._timeout = edge.options.rpc_timeout

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        return [
            web.get("/v3/users", guarded(self.list)),
            web.post("/v3/users", guarded(self.create)),
            web.get("/v3/users/{id}", guarded(self.show)),
            web.patch("/v3/users/{id}", guarded(self.update)),
            web.delete("/v3/users/{id}", guarded(self.delete)),
            # Proves itself by the present password, so that it works without a token as in Keystone.
            web.post("/v3/users/{id}/password", self._edge.open(self.change_password)),
            web.get("/v3/users/{id}/groups", guarded(self.list_groups)),
        ]

    async def list(self, exchange: Exchange) -> Reply:
        """Those that match domain_id, name and enabled."""
        self._edge.require(exchange, "identity:list_users")
        query = exchange.request.query
        request = ListUsersRequest(
            name=query.get("name", ""),
            domain_id=query.get("domain_id", ""),
            enabled=exchange.flag("enabled") if "enabled" in query else None,
        )
        base = self._edge.url(exchange)
        found = [views.user(user, base) for user in await all_users(self._edge, request)]
        return Reply({"users": found, "links": self._edge.links(exchange)})

    async def create(self, exchange: Exchange) -> Reply:
        """Make one."""
        self._edge.require(exchange, "identity:create_user")
        body = (await self._edge.body(exchange, CREATE_USER))["user"]
        wanted = User(
            name=body["name"],
            domain_id=body.get("domain_id") or exchange.context.project_domain_id or DEFAULT_DOMAIN,
            description=body.get("description") or "",
            email=body.get("email") or "",
            default_project_id=body.get("default_project_id") or body.get("project_id") or "",
            enabled=body.get("enabled", True),
        )
        answer = await self._edge.credentials.CreateUser(
            CreateUserRequest(user=wanted, password=body.get("password") or ""), timeout=self._timeout
        )
        return Reply({"user": views.user(answer.user, self._edge.url(exchange))}, 201)

    async def show(self, exchange: Exchange) -> Reply:
        """One."""
        self._edge.require(exchange, "identity:get_user", user_id=exchange.path("id"))
        answer = await self._edge.users.GetUser(GetUserRequest(id=exchange.path("id")), timeout=self._timeout)
        return Reply({"user": views.user(answer.user, self._edge.url(exchange))})

    async def update(self, exchange: Exchange) -> Reply:
        """Change one; a new password ends the user's tokens."""
        self._edge.require(exchange, "identity:update_user")
        user_id = exchange.path("id")
        body = (await self._edge.body(exchange, UPDATE_USER))["user"]
        if body.get("domain_id"):
            present = await self._edge.users.GetUser(GetUserRequest(id=user_id), timeout=self._timeout)
            if present.user.domain_id != body["domain_id"]:
                raise HttpError(400, "Invalid input for field 'user/domain_id': it can't be changed.")
        wanted = User(
            id=user_id,
            name=body.get("name", ""),
            description=body.get("description") or "",
            email=body.get("email") or "",
            default_project_id=body.get("default_project_id") or "",
            enabled=body.get("enabled", False),
        )
        mask = [name for name in _FIELDS if name in body]
        if mask or not body.get("password"):
            changed = await self._edge.users.UpdateUser(
                UpdateUserRequest(user=wanted, update_mask=mask), timeout=self._timeout
            )
            user = changed.user
        if body.get("password"):
            answer = await self._edge.credentials.SetPassword(
                SetPasswordRequest(user_id=user_id, password=body["password"]), timeout=self._timeout
            )
            user = answer.user
        return Reply({"user": views.user(user, self._edge.url(exchange))})

    async def delete(self, exchange: Exchange) -> Reply:
        """Remove one."""
        self._edge.require(exchange, "identity:delete_user")
        await self._edge.users.DeleteUser(DeleteUserRequest(id=exchange.path("id")), timeout=self._timeout)
        return Reply(status=204)

    async def change_password(self, exchange: Exchange) -> Reply:
        """Change the own one."""
        body = (await self._edge.body(exchange, CHANGE_PASSWORD))["user"]
        await self._edge.credentials.ChangePassword(
            ChangePasswordRequest(
                user_id=exchange.path("id"),
                original_password=body["original_password"],
                password=body["password"],
            ),
            timeout=self._timeout,
        )
        return Reply(status=204)

    async def list_groups(self, exchange: Exchange) -> Reply:
        """None: there are no groups."""
        self._edge.require(exchange, "identity:get_user", user_id=exchange.path("id"))
        return Reply({"groups": [], "links": self._edge.links(exchange)})
