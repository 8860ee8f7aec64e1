"""One request as handlers see it, and what they may answer with."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from gateway.faults import HttpError
from gateway.policy import Policy
from novamesh.types.v1.request_context_pb2 import RequestContext

State = TypeVar("State")

_REQUEST_ID = re.compile(r"req-[0-9A-Za-z-]{36}")
# What a name, an address and a port are written with (RFC 3986, without escapes).
_HOST = re.compile(r"[0-9A-Za-z._~:\[\]-]*")


def passed_on_id(given: str) -> str:
    """The request id of another service that calls on; empty for anything that is none."""
    return given if _REQUEST_ID.fullmatch(given) else ""


def check_url(path: str, query: str) -> None:
    """Raise HttpError 400 for a raw path or query with a NUL: not every database can be asked for one."""
    if "%00" in path or "%00" in query:
        raise HttpError(400, "The URL has a NUL character.")


def host_of(given: str) -> str:
    """A Host header, as links may repeat it. Raises HttpError 400."""
    if _HOST.fullmatch(given) is None:
        raise HttpError(400, "The Host header is not a host.")
    return given


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that needs more than a body: another status, or headers."""

    body: object = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiRequest(Generic[State]):
    """A request that has been recognised, checked and parsed.

    `state` is what the API's handlers share (the stubs of other roles, options ...). `minor` is the
    microversion. `path` has the path's parameters, `query` the values of each query parameter,
    `body` the parsed JSON.
    """

    __slots__ = (
        "application_url",
        "body",
        "context",
        "legacy",
        "minor",
        "path",
        "path_info",
        "policy",
        "prefix",
        "query",
        "query_string",
        "roles",
        "state",
        "url_project",
    )

    def __init__(self, state: State, policy: Policy, context: RequestContext, roles: tuple[str, ...]) -> None:
        self.state = state
        self.policy = policy
        self.context = context
        self.roles = roles
        self.minor = 1
        self.path: dict[str, str] = {}
        self.query: dict[str, list[str]] = {}
        self.query_string = ""
        self.body: Any = None
        # `http://host:port`, without a slash at the end.
        self.application_url = ""
        # `/v2.1`: where the API is that was asked.
        self.prefix = ""
        # True for the API as it was before microversions.
        self.legacy = False
        # `/servers/detail`: the path below version and project.
        self.path_info = ""
        # `/<project>` when the URL named it, else empty.
        self.url_project = ""

    def allows(self, rule: str, project_id: str | None = None, user_id: str | None = None) -> bool:
        """Whether policy lets the caller do this to what that project and user own (None: their own)."""
        return self.policy.allows(
            rule, self.context, roles=self.roles, project_id=project_id, user_id=user_id
        )

    def require(self, rule: str, project_id: str | None = None, user_id: str | None = None) -> None:
        """Raise HttpError 403 unless policy lets the caller do this."""
        if not self.allows(rule, project_id, user_id):
            raise HttpError(403, f"Policy doesn't allow {rule} to be performed.")

    @property
    def project_scope(self) -> str:
        """The project that the caller's questions are limited to; empty for an administrator."""
        return "" if self.context.is_admin else self.context.project_id

    def first(self, name: str) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else None

    def last(self, name: str) -> str | None:
        """The last value of a query parameter: the one that counts where only one does."""
        values = self.query.get(name)
        return values[-1] if values else None


Handler = Callable[[ApiRequest[Any]], Awaitable[object]]
