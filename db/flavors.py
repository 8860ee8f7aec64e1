"""Flavors, their extra specs and who may use them."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from db.schema.base import timestamp
from db.schema.compute import flavor_access, flavors
from novamesh.conductor.v1.flavor_service_pb2 import ListFlavorsRequest
from novamesh.failures import (
    AlreadyExistsError,
    GenerationConflictError,
    InvalidArgumentError,
    NotFoundError,
)
from novamesh.types.v1.flavor_pb2 import Flavor

PAGE = 1000
UPDATABLE = ("description", "disabled", "extra_specs")
_c = flavors.c
_ROW = select(flavors)
_BY_ID = _ROW.where(_c.id == bindparam("flavor_id"))
SORT_KEYS = frozenset(c.name for c in flavors.columns if c.name not in ("extra_specs", "generation"))


def message(found: Row[Any]) -> Flavor:
    """A row as a message."""
    return Flavor(
        id=found.id,
        generation=found.generation,
        name=found.name,
        description=found.description,
        vcpus=found.vcpus,
        memory_mb=found.memory_mb,
        root_gb=found.root_gb,
        ephemeral_gb=found.ephemeral_gb,
        swap_mb=found.swap_mb,
        rxtx_factor=found.rxtx_factor,
        is_public=found.is_public,
        disabled=found.disabled,
        extra_specs=found.extra_specs,
        created_at=timestamp(found.created_at),
        updated_at=timestamp(found.updated_at),
    )


def add(connection: Connection, flavor: Flavor, at: datetime) -> Flavor:
    """Make a flavor; one without an id gets a UUID.

    Raises AlreadyExistsError.
    """
    taken = connection.execute(
        select(_c.id, _c.name).where(or_(_c.name == flavor.name, _c.id == flavor.id))
    ).first()
    if taken is not None:
        raise _taken("name", flavor.name) if taken.name == flavor.name else _taken("ID", flavor.id)
    flavor_id = flavor.id or str(uuid.uuid4())
    try:
        connection.execute(
            insert(flavors),
            {
                "id": flavor_id,
                "generation": 1,
                "name": flavor.name,
                "description": flavor.description,
                "vcpus": flavor.vcpus,
                "memory_mb": flavor.memory_mb,
                "root_gb": flavor.root_gb,
                "ephemeral_gb": flavor.ephemeral_gb,
                "swap_mb": flavor.swap_mb,
                "rxtx_factor": flavor.rxtx_factor,
                "is_public": flavor.is_public,
                "disabled": flavor.disabled,
                "extra_specs": dict(flavor.extra_specs),
                "created_at": at,
            },
        )
    except IntegrityError as error:
        raise _taken("name", flavor.name) from error
    return get(connection, flavor_id)


def _taken(what: str, value: str) -> AlreadyExistsError:
    return AlreadyExistsError("flavor", value, f"Flavor with {what} {value} already exists.")


def _usable(project_id: str) -> ColumnElement[bool]:
    return or_(
        _c.is_public.is_(True),
        exists().where(flavor_access.c.flavor_id == _c.id, flavor_access.c.project_id == project_id),
    )


def get(connection: Connection, flavor_id: str, project_id: str = "") -> Flavor:
    """One flavor, if that project may use it.

    Raises NotFoundError.
    """
    found = connection.execute(_BY_ID, {"flavor_id": flavor_id}).first()
    if found is None:
        raise NotFoundError("flavor", flavor_id)
    if project_id and not found.is_public and project_id not in projects(connection, flavor_id):
        raise NotFoundError("flavor", flavor_id)
    return message(found)


def page(connection: Connection, request: ListFlavorsRequest) -> tuple[list[Flavor], bool]:
    """A page, and whether more follow.

    Raises InvalidArgumentError (sort_key) and NotFoundError (marker).
    """
    key = request.sort_key or "id"
    if key not in SORT_KEYS:
        raise InvalidArgumentError("sort_key", f"Flavors can't be sorted by {key!r}.")
    column = _c[key]
    wanted = _ROW
    if request.project_id:
        wanted = wanted.where(_usable(request.project_id))
    if request.name:
        wanted = wanted.where(_c.name == request.name)
    if request.visibility:
        wanted = wanted.where(_c.is_public.is_(request.visibility == 1))
    if request.min_ram_mb:
        wanted = wanted.where(_c.memory_mb >= request.min_ram_mb)
    if request.min_disk_gb:
        wanted = wanted.where(_c.root_gb >= request.min_disk_gb)
    if request.marker:
        last = connection.execute(_BY_ID, {"flavor_id": request.marker}).first()
        if last is None:
            raise NotFoundError("marker", request.marker, f"Marker {request.marker} could not be found.")
        value = getattr(last, key)
        if request.descending:
            wanted = wanted.where(or_(column < value, and_(column == value, _c.id < last.id)))
        else:
            wanted = wanted.where(or_(column > value, and_(column == value, _c.id > last.id)))
    order = (column.desc(), _c.id.desc()) if request.descending else (column.asc(), _c.id.asc())
    size = min(request.page_size or PAGE, PAGE)
    rows = connection.execute(wanted.order_by(*order).limit(size + 1)).all()
    return [message(found) for found in rows[:size]], len(rows) > size


def change(connection: Connection, wanted: Flavor, mask: Sequence[str], at: datetime) -> Flavor:
    """Change description, disabled or extra_specs.

    Raises NotFoundError, GenerationConflictError, InvalidArgumentError (update_mask).
    """
    old = connection.execute(_BY_ID.with_for_update(), {"flavor_id": wanted.id}).first()
    if old is None:
        raise NotFoundError("flavor", wanted.id)
    if wanted.generation and wanted.generation != old.generation:
        raise GenerationConflictError("flavor", wanted.id, wanted.generation, old.generation)
    values: dict[str, Any] = {}
    for name in mask:
        if name not in UPDATABLE:
            raise InvalidArgumentError("update_mask", f"{name} of a flavor can't be changed.")
        value = getattr(wanted, name)
        values[name] = dict(value) if name == "extra_specs" else value
    connection.execute(
        update(flavors)
        .where(_c.number == old.number)
        .values(**values, updated_at=at, generation=_c.generation + 1)
    )
    return get(connection, wanted.id)


def remove(connection: Connection, flavor_id: str) -> None:
    """Remove a flavor; instances keep their copy.

    Raises NotFoundError.
    """
    if connection.execute(delete(flavors).where(_c.id == flavor_id)).rowcount == 0:
        raise NotFoundError("flavor", flavor_id)


def projects(connection: Connection, flavor_id: str) -> list[str]:
    """The projects that may use a flavor that is not public."""
    rows = connection.execute(
        select(flavor_access.c.project_id)
        .where(flavor_access.c.flavor_id == flavor_id)
        .order_by(flavor_access.c.project_id)
    )
    return [found[0] for found in rows]


def permit(connection: Connection, flavor_id: str, project_id: str) -> list[str]:
    """Let a project use a flavor. Returns all that may.

    Raises NotFoundError and AlreadyExistsError.
    """
    get(connection, flavor_id)
    if project_id in projects(connection, flavor_id):
        raise AlreadyExistsError(
            "flavor_access",
            project_id,
            f"Flavor access already exists for flavor {flavor_id} and project {project_id} combination.",
        )
    connection.execute(insert(flavor_access), {"flavor_id": flavor_id, "project_id": project_id})
    return projects(connection, flavor_id)


def forbid(connection: Connection, flavor_id: str, project_id: str) -> list[str]:
    """Take that back. Returns all that still may.

    Raises NotFoundError.
    """
    get(connection, flavor_id)
    gone = connection.execute(
        delete(flavor_access).where(
            flavor_access.c.flavor_id == flavor_id, flavor_access.c.project_id == project_id
        )
    )
    if gone.rowcount == 0:
        raise NotFoundError(
            "flavor_access",
            project_id,
            f"Flavor access not found for {flavor_id} / {project_id} combination.",
        )
    return projects(connection, flavor_id)
