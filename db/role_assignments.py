"""Who has which role on what."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from db import domains, identity_rows, projects, revocations, roles, users
from db.schema import identity as schema
from novamesh.conductor.v1.role_service_pb2 import ListRoleAssignmentsRequest
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.identity_pb2 import NamedEntity, Revocation, RoleAssignment

_TABLE = schema.role_assignments


def assign(connection: Connection, role_id: str, user_id: str, project_id: str, domain_id: str) -> None:
    """Give a user a role on a project or a domain. Raises NotFoundError, InvalidArgumentError."""
    target = _target(project_id, domain_id)
    identity_rows.row(connection, schema.roles, "role", role_id)
    users.get(connection, user_id)
    if project_id:
        projects.get(connection, project_id)
    else:
        domains.get(connection, domain_id)
    has = (_TABLE.c.user_id == user_id, _TABLE.c.target == target, _TABLE.c.role_id == role_id)
    if connection.execute(select(_TABLE.c.number).where(*has)).first() is None:
        connection.execute(
            insert(_TABLE).values(
                role_id=role_id,
                user_id=user_id,
                project_id=project_id or None,
                domain_id=domain_id or None,
                target=target,
            )
        )


def unassign(connection: Connection, role_id: str, user_id: str, project_id: str, domain_id: str) -> None:
    """Take it back, and end the user's tokens for that project or domain. Raises NotFoundError."""
    target = _target(project_id, domain_id)
    removed = connection.execute(
        delete(_TABLE).where(
            _TABLE.c.user_id == user_id, _TABLE.c.target == target, _TABLE.c.role_id == role_id
        )
    ).rowcount
    if not removed:
        raise NotFoundError(
            "role assignment",
            role_id,
            f"Could not find role assignment with role: {role_id}, user: {user_id}.",
        )
    revocations.record(connection, Revocation(user_id=user_id, project_id=project_id, domain_id=domain_id))


def role_ids(connection: Connection, user_id: str, project_id: str, domain_id: str) -> Sequence[str]:
    """The roles that a user was assigned on a project or a domain."""
    statement = select(_TABLE.c.role_id).where(
        _TABLE.c.user_id == user_id, _TABLE.c.target == _target(project_id, domain_id)
    )
    return list(connection.execute(statement.order_by(_TABLE.c.number)).scalars())


def entities(connection: Connection, ids: Sequence[str]) -> list[NamedEntity]:
    """These roles, by name."""
    statement = select(schema.roles.c.id, schema.roles.c.name).where(schema.roles.c.id.in_(ids))
    rows = connection.execute(statement.order_by(schema.roles.c.name))
    return [NamedEntity(id=row.id, name=row.name) for row in rows]


def find(connection: Connection, request: ListRoleAssignmentsRequest) -> list[RoleAssignment]:
    """Those that match, with names; with `effective`, implied ones as well."""
    conditions = []
    if request.user_id:
        conditions.append(_TABLE.c.user_id == request.user_id)
    if request.project_id:
        conditions.append(_TABLE.c.project_id == request.project_id)
    if request.domain_id:
        conditions.append(_TABLE.c.domain_id == request.domain_id)
    if request.role_id and not request.effective:
        conditions.append(_TABLE.c.role_id == request.role_id)
    user_domain, project_domain = schema.domains.alias(), schema.domains.alias()
    own_domain = schema.domains.alias()
    statement = (
        select(
            _TABLE.c.role_id,
            _TABLE.c.user_id,
            schema.users.c.name.label("user_name"),
            user_domain.c.id.label("user_domain_id"),
            user_domain.c.name.label("user_domain_name"),
            _TABLE.c.project_id,
            schema.projects.c.name.label("project_name"),
            project_domain.c.id.label("project_domain_id"),
            project_domain.c.name.label("project_domain_name"),
            _TABLE.c.domain_id,
            own_domain.c.name.label("domain_name"),
        )
        .select_from(_TABLE)
        .join(schema.users, schema.users.c.id == _TABLE.c.user_id)
        .join(user_domain, user_domain.c.id == schema.users.c.domain_id)
        .outerjoin(schema.projects, schema.projects.c.id == _TABLE.c.project_id)
        .outerjoin(project_domain, project_domain.c.id == schema.projects.c.domain_id)
        .outerjoin(own_domain, own_domain.c.id == _TABLE.c.domain_id)
        .where(*conditions)
        .order_by(_TABLE.c.number)
    )
    known_roles = connection.execute(select(schema.roles.c.id, schema.roles.c.name))
    names: dict[str, str] = {row.id: row.name for row in known_roles}
    known = roles.implications(connection) if request.effective else {}
    found: dict[tuple[str, str, str], RoleAssignment] = {}
    for row in connection.execute(statement):
        for role_id in roles.with_implied([row.role_id], known):
            if request.role_id and role_id != request.role_id:
                continue
            key = (row.user_id, _target(row.project_id or "", row.domain_id or ""), role_id)
            if key in found and found[key].prior_role_id == "":
                continue
            found[key] = RoleAssignment(
                role=NamedEntity(id=role_id, name=names[role_id]),
                user=NamedEntity(
                    id=row.user_id,
                    name=row.user_name,
                    domain_id=row.user_domain_id,
                    domain_name=row.user_domain_name,
                ),
                project=NamedEntity(
                    id=row.project_id,
                    name=row.project_name,
                    domain_id=row.project_domain_id,
                    domain_name=row.project_domain_name,
                )
                if row.project_id
                else None,
                domain=NamedEntity(id=row.domain_id, name=row.domain_name) if row.domain_id else None,
                prior_role_id="" if role_id == row.role_id else row.role_id,
            )
    return list(found.values())


def _target(project_id: str, domain_id: str) -> str:
    if bool(project_id) == bool(domain_id):
        raise InvalidArgumentError("project_id", "A role is assigned on a project or on a domain.")
    return f"project:{project_id}" if project_id else f"domain:{domain_id}"
