"""os-migrations: moves of servers between hosts and sizes, for administrators and managers of projects."""

from collections.abc import Mapping
from typing import TypeVar

from gateway.compute import changes
from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.views.links import next_links, page_limit
from gateway.compute.views.migrations import STATUSES_BY_NAME, TYPES_BY_NAME, MigrationView
from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.routes import Route
from novamesh.conductor.v1.migration_service_pb2 import (
    ListMigrationsRequest,
    ListMigrationsResponse,
    MigrationFilter,
)
from novamesh.failures import NotFoundError
from novamesh.types.v1.migration_pb2 import Migration

T = TypeVar("T")

_RULE = "os_compute_api:os-migrations:index"
# What a list may be chosen by, and the field of MigrationFilter; `hidden` is known, and none ever is.
_TEXTS = {"host": "host", "instance_uuid": "instance_id", "source_compute": "source_compute"}


class _NothingMatches(Exception):
    """The filters can't match any migration."""


def _index(*, paged: bool, times_of: tuple[str, ...] = (), owners: tuple[str, ...] = ()) -> Handler:
    """GET /os-migrations, in pages or all at once, chosen by these times and owners, too."""

    async def index(call: ComputeRequest) -> object:
        request = ListMigrationsRequest()
        try:
            _choose(call, request.filter, owners)
        except _NothingMatches:
            return {"migrations": []}
        _choose_times(call, request.filter, times_of)
        view = MigrationView(call, with_hosts=call.allows(_RULE + ":host"))
        if not paged:
            return {"migrations": [view.listed(one) for one in await _all(call, request)]}
        request.page_size = page_limit(call)
        if request.page_size == 0:
            return {"migrations": []}
        request.marker = call.last("marker") or ""
        try:
            answer = await _page(call, request)
        except NotFoundError:
            raise HttpError(400, f"Marker {request.marker} could not be found.") from None
        shown = [view.listed(one) for one in answer.migrations]
        page: dict[str, object] = {"migrations": shown}
        if shown and (links := next_links(call, shown, answer.migrations[-1].id)):
            page["migrations_links"] = links
        return page

    return index


def _choose(call: ComputeRequest, wanted: MigrationFilter, owners: tuple[str, ...]) -> None:
    for name, field in {**_TEXTS, **dict(zip(owners, owners, strict=True))}.items():
        text = call.last(name)
        if text is not None:
            setattr(wanted, field, text)
    if (status := call.last("status")) is not None:
        wanted.statuses.append(_known(STATUSES_BY_NAME, status))
    if (kind := call.last("migration_type")) is not None:
        wanted.types.append(_known(TYPES_BY_NAME, kind))
    if not call.allows(_RULE + ":all_projects"):
        if wanted.project_id not in ("", call.context.project_id):
            raise _NothingMatches
        wanted.project_id = call.context.project_id


def _known(words: Mapping[str, T], text: str) -> T:
    if text not in words:
        raise _NothingMatches
    return words[text]


def _choose_times(call: ComputeRequest, wanted: MigrationFilter, names: tuple[str, ...]) -> None:
    since, before = changes.between({name: call.query[name][-1] for name in names if name in call.query})
    if since is not None:
        wanted.changes_since.CopyFrom(since)
    if before is not None:
        wanted.changes_before.CopyFrom(before)


async def _page(call: ComputeRequest, request: ListMigrationsRequest) -> ListMigrationsResponse:
    answer: ListMigrationsResponse = await call.state.migrations.ListMigrations(
        request, timeout=call.state.timeout
    )
    return answer


async def _all(call: ComputeRequest, request: ListMigrationsRequest) -> list[Migration]:
    found: list[Migration] = []
    while True:
        answer = await _page(call, request)
        found.extend(answer.migrations)
        if not answer.next_page_token:
            return found
        request = ListMigrationsRequest(filter=request.filter, page_token=answer.next_page_token)


_FILTERS = dict.fromkeys(("hidden", *_TEXTS, "status", "migration_type"), p.ANY_TEXT)
_TIME = p.one({"type": "string", "format": "date-time"})
_ONE = p.one({"type": "string"})
_LIST_59 = {**_FILTERS, "limit": p.one(p.LIMIT["items"]), "marker": _ONE, "changes-since": _TIME}
_LIST_66 = {**_LIST_59, "changes-before": _TIME}
_LIST_80 = {**_LIST_66, "user_id": _ONE, "project_id": _ONE}

ROUTES = (
    Route("GET", "/os-migrations", _RULE, _index(paged=False), query=((1, p.query(_FILTERS)),), last=58),
    Route(
        "GET",
        "/os-migrations",
        _RULE,
        _index(paged=True, times_of=("changes-since",)),
        query=((59, p.query(_LIST_59, strict=True)),),
        first=59,
        last=65,
    ),
    Route(
        "GET",
        "/os-migrations",
        _RULE,
        _index(paged=True, times_of=("changes-since", "changes-before")),
        query=((66, p.query(_LIST_66, strict=True)),),
        first=66,
        last=79,
    ),
    Route(
        "GET",
        "/os-migrations",
        _RULE,
        _index(paged=True, times_of=("changes-since", "changes-before"), owners=("user_id", "project_id")),
        query=((80, p.query(_LIST_80, strict=True)),),
        first=80,
    ),
)
