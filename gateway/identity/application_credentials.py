"""Application credentials."""

from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.faults import HttpError
from gateway.identity import views
from gateway.identity.edge import Edge, Exchange, Reply
from gateway.identity.schemas import CREATE_APPLICATION_CREDENTIAL
from novamesh.conductor.v1.application_credential_service_pb2 import (
    DeleteApplicationCredentialRequest,
    GetApplicationCredentialRequest,
    ListApplicationCredentialsRequest,
)
from novamesh.identity.v1.credential_service_pb2 import CreateApplicationCredentialRequest


class ApplicationCredentialResource:
    """/v3/users/{user_id}/application_credentials."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._timeout = edge.options.rpc_timeout

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        guarded = self._edge.guarded
        path = "/v3/users/{user_id}/application_credentials"
        return [
            web.get(path, guarded(self.list)),
            web.post(path, guarded(self.create)),
            web.get(path + "/{id}", guarded(self.show)),
            web.delete(path + "/{id}", guarded(self.delete)),
        ]

    async def list(self, exchange: Exchange) -> Reply:
        """A user's own."""
        user_id = exchange.path("user_id")
        self._edge.require(exchange, "identity:list_application_credentials", user_id=user_id)
        request = ListApplicationCredentialsRequest(
            user_id=user_id, name=exchange.request.query.get("name", "")
        )
        answer = await self._edge.application_credentials.ListApplicationCredentials(
            request, timeout=self._timeout
        )
        base = self._edge.url(exchange)
        shown = [views.application_credential(found, base) for found in answer.application_credentials]
        return Reply({"application_credentials": shown, "links": self._edge.links(exchange)})

    async def create(self, exchange: Exchange) -> Reply:
        """Make one, for the token's project and with at most the token's roles."""
        user_id = exchange.path("user_id")
        rule = "identity:create_application_credential"
        self._edge.require(exchange, rule, user_id=user_id)
        _refuse_restricted(exchange, rule)
        body = (await self._edge.body(exchange, CREATE_APPLICATION_CREDENTIAL))["application_credential"]
        project_id = exchange.context.project_id
        if not project_id or body.get("project_id", project_id) != project_id:
            raise HttpError(403, "An application credential is made with a token for its project.")
        request = CreateApplicationCredentialRequest(
            user_id=user_id,
            project_id=project_id,
            name=body["name"],
            description=body.get("description") or "",
            role_ids=_role_ids(exchange, body.get("roles")),
            unrestricted=bool(body.get("unrestricted")),
            expires_at=_moment(body.get("expires_at")),
            secret=body.get("secret") or "",
        )
        answer = await self._edge.credentials.CreateApplicationCredential(request, timeout=self._timeout)
        shown = views.application_credential(answer.application_credential, self._edge.url(exchange))
        return Reply({"application_credential": {**shown, "secret": answer.secret}}, 201)

    async def show(self, exchange: Exchange) -> Reply:
        """One."""
        user_id = exchange.path("user_id")
        self._edge.require(exchange, "identity:get_application_credential", user_id=user_id)
        answer = await self._edge.application_credentials.GetApplicationCredential(
            GetApplicationCredentialRequest(id=exchange.path("id"), user_id=user_id), timeout=self._timeout
        )
        shown = views.application_credential(answer.application_credential, self._edge.url(exchange))
        return Reply({"application_credential": shown})

    async def delete(self, exchange: Exchange) -> Reply:
        """Remove one; ends its tokens."""
        user_id = exchange.path("user_id")
        rule = "identity:delete_application_credential"
        self._edge.require(exchange, rule, user_id=user_id)
        _refuse_restricted(exchange, rule)
        await self._edge.application_credentials.DeleteApplicationCredential(
            DeleteApplicationCredentialRequest(id=exchange.path("id"), user_id=user_id), timeout=self._timeout
        )
        return Reply(status=204)


def _refuse_restricted(exchange: Exchange, rule: str) -> None:
    token = exchange.token
    if token.HasField("application_credential") and not token.application_credential.unrestricted:
        raise HttpError(
            403,
            f"Using a restricted application credential, {rule} is not allowed: make an unrestricted one.",
        )


def _role_ids(exchange: Exchange, wanted: list[dict[str, Any]] | None) -> list[str]:
    """The ids of the roles named, which the token must have; the token's own for none."""
    by_name = {role.name: role.id for role in exchange.token.roles}
    if not wanted:
        return list(by_name.values())
    ids = []
    for role in wanted:
        role_id = role.get("id") or by_name.get(role.get("name", ""), "")
        if role_id not in by_name.values():
            named = role.get("id") or role.get("name", "")
            raise HttpError(400, f"Invalid input for field 'application_credential/roles': no role {named}.")
        ids.append(role_id)
    return ids


def _moment(text: str | None) -> Timestamp | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise HttpError(
            400, "Invalid input for field 'application_credential/expires_at': not a time as in ISO 8601."
        ) from None
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise HttpError(
            400, "Invalid input for field 'application_credential/expires_at': outside the years 1 to 9999."
        ) from None
    if moment <= datetime.now(UTC):
        raise HttpError(400, "Invalid input for field 'application_credential/expires_at': it has passed.")
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
