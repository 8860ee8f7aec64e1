"""Messages as Keystone's JSON, field by field."""

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from novamesh.types.v1.identity_pb2 import (
    ApplicationCredential,
    Domain,
    NamedEntity,
    Project,
    Role,
    RoleAssignment,
    Token,
    User,
)

Json = dict[str, Any]


def moment(stamp: Timestamp) -> str:
    """`2026-01-31T12:00:00.000000Z`."""
    return stamp.ToDatetime().isoformat(timespec="microseconds") + "Z"


def domain(record: Domain, base: str) -> Json:
    """A domain."""
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "enabled": record.enabled,
        "tags": [],
        "options": {},
        "links": {"self": f"{base}/v3/domains/{record.id}"},
    }


def project(record: Project, base: str) -> Json:
    """A project. Projects have no tree here: each one's parent is its domain."""
    return {
        "id": record.id,
        "name": record.name,
        "domain_id": record.domain_id,
        "description": record.description,
        "enabled": record.enabled,
        "parent_id": record.domain_id,
        "is_domain": False,
        "tags": list(record.tags),
        "options": {},
        "links": {"self": f"{base}/v3/projects/{record.id}"},
    }


def user(record: User, base: str) -> Json:
    """A user; Keystone leaves out what was never given."""
    body: Json = {
        "id": record.id,
        "name": record.name,
        "domain_id": record.domain_id,
        "enabled": record.enabled,
        "password_expires_at": None,
        "options": {},
        "links": {"self": f"{base}/v3/users/{record.id}"},
    }
    for name in ("description", "email", "default_project_id"):
        value = getattr(record, name)
        if value:
            body[name] = value
    return body


def role(record: Role, base: str) -> Json:
    """A role."""
    return {
        "id": record.id,
        "name": record.name,
        "domain_id": None,
        "description": record.description,
        "options": {},
        "links": {"self": f"{base}/v3/roles/{record.id}"},
    }


def application_credential(record: ApplicationCredential, base: str) -> Json:
    """An application credential, without its secret."""
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description or None,
        "project_id": record.project_id,
        "user_id": record.user_id,
        "roles": [{"id": r.id, "name": r.name, "domain_id": None} for r in record.roles],
        "unrestricted": record.unrestricted,
        "expires_at": moment(record.expires_at)[:-1] if record.HasField("expires_at") else None,
        "access_rules": [],
        "links": {"self": f"{base}/v3/users/{record.user_id}/application_credentials/{record.id}"},
    }


def role_assignment(record: RoleAssignment, base: str, names: bool) -> Json:
    """A role assignment, with names or only ids."""
    on_project = record.HasField("project")
    kind = "project" if on_project else "domain"
    target = record.project if on_project else record.domain
    place = f"{base}/v3/{kind}s/{target.id}/users/{record.user.id}/roles"
    links = {"assignment": f"{place}/{record.prior_role_id or record.role.id}"}
    if record.prior_role_id:
        links["prior_role"] = f"{base}/v3/roles/{record.prior_role_id}/implies/{record.role.id}"
    return {
        "role": _named(record.role, names),
        "user": _named(record.user, names),
        "scope": {kind: _named(target, names)},
        "links": links,
    }


def _named(entity: NamedEntity, names: bool) -> Json:
    body: Json = {"id": entity.id}
    if names:
        body["name"] = entity.name
        if entity.domain_id:
            body["domain"] = {"id": entity.domain_id, "name": entity.domain_name}
    return body


def token(record: Token, catalog: list[Json] | None) -> Json:
    """A token's body; without a catalogue for None."""
    body: Json = {
        "methods": list(record.methods),
        "user": {**_named(record.user, names=True), "password_expires_at": None},
        "audit_ids": list(record.audit_ids),
        "issued_at": moment(record.issued_at),
        "expires_at": moment(record.expires_at),
    }
    if record.HasField("project"):
        body["project"] = _named(record.project, names=True)
        body["is_domain"] = False
    if record.HasField("domain"):
        body["domain"] = _named(record.domain, names=True)
    if record.roles:
        body["roles"] = [{"id": r.id, "name": r.name} for r in record.roles]
    if record.HasField("application_credential"):
        credential = record.application_credential
        body["application_credential"] = {
            "id": credential.id,
            "name": credential.name,
            "restricted": not credential.unrestricted,
        }
    if catalog is not None and (record.HasField("project") or record.HasField("domain")):
        body["catalog"] = catalog
    return body
