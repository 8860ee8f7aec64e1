"""Records of projects."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from db import domains, identity_rows, revocations
from db.schema.base import timestamp
from db.schema.identity import projects, role_assignments
from novamesh.conductor.v1.project_service_pb2 import ListProjectsRequest
from novamesh.failures import InvalidArgumentError
from novamesh.types.v1.identity_pb2 import Project, Revocation

_MOST_TAGS = 80


def create(connection: Connection, project: Project, request_id: str) -> Project:
    """Write a new record. Raises AlreadyExistsError, InvalidArgumentError, NotFoundError (domain)."""
    domains.get(connection, project.domain_id)
    values = {
        "id": identity_rows.new_id(project.id),
        "name": identity_rows.checked_name("project", project.name),
        "domain_id": project.domain_id,
        "description": project.description,
        "enabled": project.enabled,
        "tags": _tags(project),
        "request_id": request_id,
    }
    return get(connection, identity_rows.add(connection, projects, "project", values))


def get(connection: Connection, project_id: str) -> Project:
    """One record. Raises NotFoundError."""
    return to_project(identity_rows.row(connection, projects, "project", project_id))


def find(connection: Connection, request: ListProjectsRequest) -> tuple[list[Project], bool]:
    """A page of those that match, and whether more follow."""
    conditions = []
    if request.domain_id:
        conditions.append(projects.c.domain_id == request.domain_id)
    if request.name:
        conditions.append(projects.c.name == request.name)
    if request.ids:
        conditions.append(projects.c.id.in_(request.ids))
    if request.HasField("enabled"):
        conditions.append(projects.c.enabled.is_(request.enabled))
    if request.user_id:
        assigned = select(role_assignments.c.project_id).where(
            role_assignments.c.user_id == request.user_id, role_assignments.c.project_id.is_not(None)
        )
        conditions.append(projects.c.id.in_(assigned))
    found, more = identity_rows.rows(connection, projects, conditions, request.page_size, request.marker)
    return [to_project(row) for row in found], more


def change(connection: Connection, project: Project, mask: Sequence[str]) -> Project:
    """Write new values; disabling it ends its tokens.

    Raises NotFoundError, GenerationConflictError, AlreadyExistsError, InvalidArgumentError.
    """
    values = identity_rows.masked(
        mask,
        {
            "name": project.name,
            "description": project.description,
            "enabled": project.enabled,
            "tags": _tags(project),
        },
    )
    if "name" in values:
        values["name"] = identity_rows.checked_name("project", project.name)
    identity_rows.change(connection, projects, "project", (project.id, project.generation), values)
    if values.get("enabled") is False:
        revocations.record(connection, Revocation(project_id=project.id))
    return get(connection, project.id)


def remove(connection: Connection, project_id: str) -> None:
    """Remove a record, its assignments and application credentials, and end its tokens.

    Raises NotFoundError.
    """
    identity_rows.row(connection, projects, "project", project_id)
    connection.execute(delete(projects).where(projects.c.id == project_id))
    revocations.record(connection, Revocation(project_id=project_id))


def to_project(row: Row[Any]) -> Project:
    """The record of a row."""
    return Project(
        id=row.id,
        generation=row.generation,
        name=row.name,
        domain_id=row.domain_id,
        description=row.description,
        enabled=row.enabled,
        tags=row.tags,
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
    )


def _tags(project: Project) -> list[str]:
    if len(project.tags) > _MOST_TAGS:
        raise InvalidArgumentError("tags", f"A project has at most {_MOST_TAGS} tags.")
    return list(dict.fromkeys(project.tags))
