"""Routes as data, declared beside their handlers, and the tree that finds them.

Routes with the same method and path may differ in the range of microversions that they serve, and
those on an `action` path also in the action: the one key of the request's body.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

import jsonschema_rs

from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.schemas import Rows, Schema, compile_rows


@dataclass(frozen=True)
class Route:
    """One operation of an API: what it takes, who may call it, what answers."""

    method: str
    """GET, POST, PUT or DELETE."""
    path: str
    """`/servers/{id}`, below the version."""
    rule: str
    """Policy rule that the caller must satisfy."""
    handler: Handler
    """Answers with a JSON-able object, None for an empty body, or an Answer."""
    status: int = 200
    """Status of a good answer."""
    body: Rows = ()
    """JSON Schema of the body by first microversion; empty when it takes none."""
    query: Rows = ()
    """JSON Schema of the query string by first microversion."""
    action: str = ""
    """The action's name, for actions."""
    first: int = 1
    """First minor microversion that has it."""
    last: int | None = None
    """Last minor microversion that has it; None for the newest."""
    refusal: str = ""
    """Why it answers with `status`, an error, whatever is asked; empty for one that works."""

    @property
    def label(self) -> str:
        """`POST /servers/{id}/action os-start`."""
        return f"{self.method} {self.path} {self.action}".rstrip()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A route made ready: its schemas by minor version."""

    route: Route
    handler: Handler
    rule: str
    status: int
    body: tuple[jsonschema_rs.Draft7Validator | None, ...]
    query: tuple[jsonschema_rs.Draft7Validator | None, ...]
    # What bodies were before there were microversions: the first row.
    first_body: Schema | None


class Endpoint:
    """What answers one method on one path: a route for each action and each microversion."""

    __slots__ = ("_maximum", "actions", "by_minor", "is_action")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self.is_action = False
        self.by_minor: list[Compiled | None] = [None] * (maximum + 1)
        self.actions: dict[str, list[Compiled | None]] = {}

    def add(self, compiled: Compiled) -> None:
        """Put a route in; ValueError when another serves the same microversion."""
        route = compiled.route
        if route.action:
            self.is_action = True
            table = self.actions.setdefault(route.action, [None] * (self._maximum + 1))
        else:
            table = self.by_minor
        last = self._maximum if route.last is None else min(route.last, self._maximum)
        for minor in range(route.first, last + 1):
            if table[minor] is not None:
                raise ValueError(f"{route.label} is declared twice for 2.{minor}")
            table[minor] = compiled

    def find(self, minor: int) -> Compiled:
        """The route at this microversion; HttpError 404 when there is none."""
        found = self.by_minor[minor]
        if found is None:
            raise HttpError(404, f"API version 2.{minor} is not supported on this method.")
        return found

    def find_action(self, minor: int, action: str) -> Compiled:
        """The action's route; HttpError 400 for an unknown action, 404 outside its range of microversions."""
        table = self.actions.get(action)
        if table is None:
            raise HttpError(400, f"There is no such action: {action}")
        found = table[minor]
        if found is None:
            raise HttpError(404, f"API version 2.{minor} is not supported on this method.")
        return found


class _Place:
    """One step of a path."""

    __slots__ = ("endpoints", "names", "parameter", "steps")

    def __init__(self) -> None:
        self.steps: dict[str, _Place] = {}
        self.parameter: _Place | None = None
        self.names: tuple[str, ...] = ()
        self.endpoints: dict[str, Endpoint] = {}


@dataclass(frozen=True, slots=True)
class Match:
    """Where a path led."""

    endpoints: dict[str, Endpoint]
    parameters: dict[str, str]
    # The project in the path; empty when it named none.
    project: str
    # The steps below version and project.
    path_info: str


class RouteTree:
    """Finds the endpoint of a path below the version, with or without a project before it."""

    def __init__(self, routes: Iterable[Route], maximum: int) -> None:
        self._root = _Place()
        self.routes: tuple[Route, ...] = tuple(routes)
        for route in self.routes:
            self._add(route, maximum)

    def _add(self, route: Route, maximum: int) -> None:
        place = self._root
        names: list[str] = []
        for step in filter(None, route.path.split("/")):
            if step.startswith("{"):
                names.append(step.strip("{}"))
                place.parameter = place.parameter or _Place()
                place = place.parameter
            else:
                place = place.steps.setdefault(step, _Place())
        if place.names and place.names != tuple(names):
            raise ValueError(f"{route.path}: another route calls these parameters {place.names}")
        place.names = tuple(names)
        endpoint = place.endpoints.setdefault(route.method, Endpoint(maximum))
        query: Rows = route.query if route.query else ((1, LENIENT_QUERY), (102, NO_QUERY))
        endpoint.add(
            Compiled(
                route=route,
                handler=route.handler,
                rule=route.rule,
                status=route.status,
                body=compile_rows(route.body, maximum) if route.body else (),
                query=compile_rows(query, maximum),
                first_body=route.body[0][1] if route.body else None,
            )
        )

    def match(self, steps: list[str]) -> Match | None:
        """What these steps of a raw path lead to; None for an unknown one."""
        if steps and steps[0] not in self._root.steps:
            project = unquote(steps[0])
            rest = steps[1:]
        else:
            project = ""
            rest = steps
        place = self._root
        values: list[str] = []
        for step in rest:
            following = place.steps.get(step)
            if following is None:
                following = place.parameter
                if following is None:
                    return None
                values.append(unquote(step) if "%" in step else step)
            place = following
        if not place.endpoints:
            return None
        return Match(
            endpoints=place.endpoints,
            parameters=dict(zip(place.names, values, strict=True)),
            project=project,
            path_info="/" + "/".join(rest),
        )


# Query strings of routes that declare none: anything goes up to 2.101, nothing from 2.102.
LENIENT_QUERY: Schema = {"type": "object", "additionalProperties": True}
NO_QUERY: Schema = {"type": "object", "additionalProperties": False}


def flatten(groups: Iterable[Iterable[Route]]) -> tuple[Route, ...]:
    """The routes of several resources as one tuple."""
    return tuple(route for group in groups for route in group)


def describe(routes: Iterable[Route]) -> list[str]:
    """The routes that work as rows of a Markdown table: operation, microversions, rule."""
    rows = []
    for route in routes:
        if route.refusal:
            continue
        last = "" if route.last is None else f"2.{route.last}"
        versions = f"2.{route.first}" if last == f"2.{route.first}" else f"2.{route.first} - {last}".rstrip()
        rows.append(f"| {route.label} | {versions} | {route.rule} |")
    return rows
