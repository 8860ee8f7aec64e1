"""Tokens: got, looked at, ended."""

from typing import Any

from aiohttp import web

from gateway.faults import HttpError
from gateway.identity import views
from gateway.identity.catalog import Catalog
from gateway.identity.edge import Edge, Exchange, Reply
from gateway.identity.schemas import AUTHENTICATE
from novamesh.failures import UnauthenticatedError
from novamesh.identity.v1.token_service_pb2 import (
    ApplicationCredentialMethod,
    IssueTokenRequest,
    PasswordMethod,
    RevokeTokenRequest,
    Scope,
    TokenMethod,
)
from novamesh.types.v1.identity_pb2 import Token

_SUBJECT = "X-Subject-Token"
_METHODS = ("password", "token", "application_credential")


class TokenResource:
    """/v3/auth/tokens."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._catalog = Catalog(edge.options)

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        return [
            web.post("/v3/auth/tokens", self._edge.open(self.create)),
            # HEAD comes with it; aiohttp leaves the body out.
            web.get("/v3/auth/tokens", self._edge.guarded(self.show)),
            web.delete("/v3/auth/tokens", self._edge.guarded(self.delete)),
        ]

    async def create(self, exchange: Exchange) -> Reply:
        """Log in."""
        body = (await self._edge.body(exchange, AUTHENTICATE))["auth"]
        request = IssueTokenRequest(scope=_scope(body.get("scope")))
        _add_method(request, body["identity"])
        answer = await self._edge.tokens.IssueToken(request, timeout=self._edge.options.rpc_timeout)
        return self._reply(exchange, answer.description, answer.token, 201)

    async def show(self, exchange: Exchange) -> Reply:
        """What a token is good for."""
        text, token = await self._subject(exchange)
        rule = "identity:check_token" if exchange.request.method == "HEAD" else "identity:validate_token"
        self._edge.require(exchange, rule, user_id=token.user.id)
        return self._reply(exchange, token, text, 200)

    async def delete(self, exchange: Exchange) -> Reply:
        """End a token."""
        text, token = await self._subject(exchange)
        self._edge.require(exchange, "identity:revoke_token", user_id=token.user.id)
        answer = await self._edge.tokens.RevokeToken(
            RevokeTokenRequest(token=text), timeout=self._edge.options.rpc_timeout
        )
        self._edge.authenticator.revoked(answer.revocation)
        return Reply(status=204)

    async def _subject(self, exchange: Exchange) -> tuple[str, Token]:
        text = exchange.request.headers.get(_SUBJECT, "")
        if not text:
            raise HttpError(400, f"The header {_SUBJECT} is missing.")
        try:
            return text, await self._edge.authenticator.describe(text)
        except UnauthenticatedError as failure:
            raise HttpError(404, failure.message) from None

    def _reply(self, exchange: Exchange, token: Token, text: str, status: int) -> Reply:
        catalog = None if "nocatalog" in exchange.request.query else self._catalog.of(token.project.id)
        return Reply({"token": views.token(token, catalog)}, status, {_SUBJECT: text})


def _add_method(request: IssueTokenRequest, identity: dict[str, Any]) -> None:
    methods = list(dict.fromkeys(identity["methods"]))
    unknown = [method for method in methods if method not in _METHODS]
    if unknown:
        raise HttpError(401, f"The authentication method {unknown[0]} is not supported.")
    if len(methods) > 1:
        raise HttpError(400, "Invalid input for field 'auth/identity/methods': one method at a time.")
    method = methods[0]
    if method not in identity:
        raise HttpError(400, f"Invalid input for field 'auth/identity': {method} is missing.")
    given = identity[method]
    if method == "password":
        user = given["user"]
        where = "auth/identity/password/user"
        if "password" not in user:
            raise HttpError(400, f"Invalid input for field '{where}': password is missing.")
        domain = _owner(user, where)
        request.password.CopyFrom(
            PasswordMethod(
                user_id=user.get("id", ""),
                user_name=user.get("name", ""),
                domain_id=domain.get("id", ""),
                domain_name=domain.get("name", ""),
                password=user["password"],
            )
        )
    elif method == "token":
        request.token.CopyFrom(TokenMethod(token=given["id"]))
    else:
        user, domain = given.get("user", {}), {}
        if "id" not in given:
            where = "auth/identity/application_credential"
            if "name" not in given or not user:
                raise HttpError(400, f"Invalid input for field '{where}': give id, or name and user.")
            domain = _owner(user, f"{where}/user")
        request.application_credential.CopyFrom(
            ApplicationCredentialMethod(
                id=given.get("id", ""),
                name=given.get("name", ""),
                user_id=user.get("id", ""),
                user_name=user.get("name", ""),
                domain_id=domain.get("id", ""),
                domain_name=domain.get("name", ""),
                secret=given["secret"],
            )
        )


def _owner(named: dict[str, Any], where: str) -> dict[str, Any]:
    """The domain that a user or project is named in; nothing for one that is named by id."""
    if "id" in named:
        return {}
    domain: dict[str, Any] = named.get("domain") or {}
    if "name" not in named or not ("id" in domain or "name" in domain):
        raise HttpError(400, f"Invalid input for field '{where}': give id, or name and domain.")
    return domain


def _scope(given: Any) -> Scope:
    if not given:
        return Scope()
    if given == "unscoped" or "unscoped" in given:
        return Scope(unscoped=True)
    if "system" in given:
        raise HttpError(401, "Tokens for the system are not given: scope to a project as its admin instead.")
    if "OS-TRUST:trust" in given:
        raise HttpError(501, "Trusts are not supported.")
    if len(given) > 1:
        raise HttpError(400, "Invalid input for field 'auth/scope': give a project or a domain.")
    if "project" in given:
        project = given["project"]
        domain = _owner(project, "auth/scope/project")
        return Scope(
            project_id=project.get("id", ""),
            project_name="" if "id" in project else project["name"],
            domain_id=domain.get("id", ""),
            domain_name=domain.get("name", ""),
        )
    domain = given["domain"]
    if not domain:
        raise HttpError(400, "Invalid input for field 'auth/scope/domain': give id or name.")
    return Scope(domain_id=domain.get("id", ""), domain_name=domain.get("name", ""))
