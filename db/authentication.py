"""What a login is decided by, and the public halves of the signing keys."""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from db import application_credentials, revocations, role_assignments, roles, users
from db.schema import identity as schema
from db.schema.base import moment, now, timestamp
from db.schema.identity import signing_keys
from novamesh.conductor.v1.authentication_service_pb2 import (
    AuthorizationScope,
    GetAuthenticationRequest,
    GetAuthenticationResponse,
)
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.identity_pb2 import NamedEntity, Revocation, SigningKey, User

_USERS, _DOMAINS, _PROJECTS = schema.users, schema.domains, schema.projects


def look_up(connection: Connection, request: GetAuthenticationRequest) -> GetAuthenticationResponse:
    """The user, its secret and its authorization. Raises NotFoundError (user, application credential)."""
    credential = _credential(connection, request)
    user = _user(connection, request, credential)
    answer = GetAuthenticationResponse(
        user=NamedEntity(id=user.id, name=user.name, domain_id=user.domain_id, domain_name=user.domain_name),
        enabled=user.enabled and user.domain_enabled,
        password_hash=user.password_hash,
        failed_attempts=user.failed_attempts,
        last_failed_at=timestamp(user.last_failed_at),
    )
    scope = request.scope
    if credential is not None:
        answer.application_credential.CopyFrom(application_credentials.to_credential(connection, credential))
        answer.secret_hash = credential.secret_hash
        scope = AuthorizationScope(project_id=credential.project_id)
    _authorize(connection, scope, user, answer)
    if credential is not None and answer.authorized:
        allowed = [role.id for role in answer.roles]
        kept = application_credentials.remaining_roles(credential, allowed)
        kept = list(roles.with_implied(kept, roles.implications(connection)))
        del answer.roles[:]
        answer.roles.extend(role_assignments.entities(connection, kept))
        answer.authorized = bool(kept)
    return answer


def set_password_hash(connection: Connection, user_id: str, password_hash: str, same_password: bool) -> User:
    """Keep a hash; unless it is of the same password, end the user's tokens and forget failed attempts.

    Raises NotFoundError.
    """
    values: dict[str, Any] = {"password_hash": password_hash}
    if not same_password:
        values |= {"failed_attempts": 0, "last_failed_at": None, "updated_at": now()}
        values["generation"] = _USERS.c.generation + 1
    if not connection.execute(update(_USERS).where(_USERS.c.id == user_id).values(values)).rowcount:
        raise NotFoundError("user", user_id, f"Could not find user: {user_id}.")
    if not same_password:
        revocations.record(connection, Revocation(user_id=user_id))
    return users.get(connection, user_id)


def record_attempt(connection: Connection, user_id: str, succeeded: bool) -> int:
    """Count a wrong password, or forget them all; gives the count. Raises NotFoundError."""
    values: dict[str, Any] = (
        {"failed_attempts": 0, "last_failed_at": None}
        if succeeded
        else {"failed_attempts": _USERS.c.failed_attempts + 1, "last_failed_at": now()}
    )
    if not connection.execute(update(_USERS).where(_USERS.c.id == user_id).values(values)).rowcount:
        raise NotFoundError("user", user_id, f"Could not find user: {user_id}.")
    count = connection.execute(select(_USERS.c.failed_attempts).where(_USERS.c.id == user_id))
    return int(count.scalar_one())


def publish_key(connection: Connection, key: SigningKey) -> None:
    """Keep the public half of a signing key; forgets those that have ended. Raises InvalidArgumentError."""
    if len(key.public_key) != 32 or not key.id:
        raise InvalidArgumentError("key", "A signing key has an id and 32 bytes.")
    connection.execute(delete(signing_keys).where(signing_keys.c.expires_at <= now()))
    known = connection.execute(select(signing_keys).where(signing_keys.c.id == key.id)).one_or_none()
    if known is None:
        connection.execute(
            insert(signing_keys).values(
                id=key.id,
                public_key=key.public_key,
                created_at=moment(key.created_at),
                expires_at=moment(key.expires_at),
            )
        )
    elif known.public_key != key.public_key:
        raise InvalidArgumentError("key", f"Another key has the id {key.id}.")
    else:
        statement = update(signing_keys).where(signing_keys.c.id == key.id)
        connection.execute(statement.values(expires_at=moment(key.expires_at)))


def list_keys(connection: Connection) -> list[SigningKey]:
    """The keys that have not ended, oldest first."""
    statement = select(signing_keys).where(signing_keys.c.expires_at > now())
    return [
        SigningKey(
            id=row.id,
            public_key=row.public_key,
            created_at=timestamp(row.created_at),
            expires_at=timestamp(row.expires_at),
        )
        for row in connection.execute(statement.order_by(signing_keys.c.created_at, signing_keys.c.id))
    ]


def _credential(connection: Connection, request: GetAuthenticationRequest) -> Row[Any] | None:
    table = schema.application_credentials
    if request.application_credential_id:
        condition = [table.c.id == request.application_credential_id]
    elif request.application_credential_name:
        user_id = _user(connection, request, None).id
        condition = [table.c.user_id == user_id, table.c.name == request.application_credential_name]
    else:
        return None
    found = connection.execute(select(table).where(*condition)).one_or_none()
    if found is None:
        raise NotFoundError("application credential", request.application_credential_id)
    return found


def _user(connection: Connection, request: GetAuthenticationRequest, credential: Row[Any] | None) -> Row[Any]:
    user_id = credential.user_id if credential is not None else request.user_id
    if user_id:
        condition = [_USERS.c.id == user_id]
    else:
        by_domain = (
            _DOMAINS.c.id == request.user_domain_id
            if request.user_domain_id
            else _DOMAINS.c.name == request.user_domain_name
        )
        condition = [_USERS.c.name == request.user_name, by_domain]
    statement = (
        select(_USERS, _DOMAINS.c.name.label("domain_name"), _DOMAINS.c.enabled.label("domain_enabled"))
        .join(_DOMAINS, _DOMAINS.c.id == _USERS.c.domain_id)
        .where(*condition)
    )
    found = connection.execute(statement).one_or_none()
    if found is None:
        raise NotFoundError("user", user_id or request.user_name)
    return found


def _authorize(
    connection: Connection, scope: AuthorizationScope, user: Row[Any], answer: GetAuthenticationResponse
) -> None:
    """Fill in what the scope names and the roles on it."""
    named_project = scope.project_id or scope.project_name
    if scope.unscoped or not (named_project or scope.domain_id or scope.domain_name):
        answer.authorized = True
        if scope.unscoped or not user.default_project_id:
            return
        # A default project that isn't there any more, or not for this user, means no scope.
        if not _authorize_project(connection, AuthorizationScope(project_id=user.default_project_id), answer):
            answer.ClearField("project")
        return
    if named_project:
        answer.authorized = _authorize_project(connection, scope, answer)
        return
    condition = _DOMAINS.c.id == scope.domain_id if scope.domain_id else _DOMAINS.c.name == scope.domain_name
    domain = connection.execute(select(_DOMAINS).where(condition)).one_or_none()
    if domain is None or not domain.enabled:
        return
    answer.domain.CopyFrom(NamedEntity(id=domain.id, name=domain.name))
    answer.authorized = _grant(connection, answer, "", domain.id)


def _authorize_project(
    connection: Connection, scope: AuthorizationScope, answer: GetAuthenticationResponse
) -> bool:
    condition = (
        [_PROJECTS.c.id == scope.project_id]
        if scope.project_id
        else [
            _PROJECTS.c.name == scope.project_name,
            _DOMAINS.c.id == scope.domain_id if scope.domain_id else _DOMAINS.c.name == scope.domain_name,
        ]
    )
    statement = (
        select(_PROJECTS, _DOMAINS.c.name.label("domain_name"), _DOMAINS.c.enabled.label("domain_enabled"))
        .join(_DOMAINS, _DOMAINS.c.id == _PROJECTS.c.domain_id)
        .where(*condition)
    )
    project = connection.execute(statement).one_or_none()
    if project is None or not project.enabled or not project.domain_enabled:
        return False
    answer.project.CopyFrom(
        NamedEntity(
            id=project.id, name=project.name, domain_id=project.domain_id, domain_name=project.domain_name
        )
    )
    return _grant(connection, answer, project.id, "")


def _grant(
    connection: Connection, answer: GetAuthenticationResponse, project_id: str, domain_id: str
) -> bool:
    assigned = role_assignments.role_ids(connection, answer.user.id, project_id, domain_id)
    granted = roles.with_implied(assigned, roles.implications(connection))
    answer.roles.extend(role_assignments.entities(connection, list(granted)))
    return bool(granted)
