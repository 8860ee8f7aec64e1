"""The version documents: what a client reads before it knows anything, without a token."""

from typing import Any, NamedTuple

from gateway.compute.backends import ComputeRequest
from gateway.compute.history import MAXIMUM
from gateway.faults import HttpError
from gateway.microversions import MINIMUM
from gateway.routes import Route

PREFIX = "/v2.1"
LEGACY_PREFIX = "/v2"


class Version(NamedTuple):
    """One face of the API. `version` and `minimum` are empty where there are no microversions."""

    id: str
    prefix: str
    status: str
    version: str
    minimum: str
    updated: str
    # In the media type.
    number: str


VERSIONS = (
    Version("v2.0", LEGACY_PREFIX, "SUPPORTED", "", "", "2011-01-21T11:33:21Z", "2"),
    Version("v2.1", PREFIX, "CURRENT", f"2.{MAXIMUM}", f"2.{MINIMUM}", "2013-07-23T11:33:21Z", "2.1"),
)
_LEGACY, _CURRENT = VERSIONS


def _summary(version: Version, url: str) -> dict[str, Any]:
    return {
        "id": version.id,
        "status": version.status,
        "version": version.version,
        "min_version": version.minimum,
        "updated": version.updated,
        "links": [{"rel": "self", "href": f"{url}{version.prefix}/"}],
    }


def _media_types(version: Version) -> list[dict[str, str]]:
    kind = f"application/vnd.openstack.compute+json;version={version.number}"
    return [{"base": "application/json", "type": kind}]


def _document(version: Version, url: str) -> dict[str, Any]:
    shown = _summary(version, url)
    shown["links"].append({"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"})
    shown["media-types"] = _media_types(version)
    return {"version": shown}


def every(url: str) -> tuple[int, object]:
    """`/`: all versions."""
    return 200, {"versions": [_summary(version, url) for version in VERSIONS]}


def current(url: str) -> tuple[int, object]:
    """`/v2.1`."""
    return 200, _document(_CURRENT, url)


def legacy(url: str) -> tuple[int, object]:
    """`/v2`."""
    return 200, _document(_LEGACY, url)


def choices(url: str, path: str) -> tuple[int, object] | None:
    """Any path without a version: 300 with the versions that it may have meant."""
    found = [
        {
            "id": version.id,
            "status": version.status,
            "links": [{"rel": "self", "href": f"{url}{version.prefix}{path}"}],
            "media-types": _media_types(version),
        }
        for version in VERSIONS
    ]
    return 300, {"choices": found}


async def show(call: ComputeRequest) -> object:
    """GET / below a project: the version that was asked."""
    return _document(_LEGACY if call.legacy else _CURRENT, call.application_url)


async def show_by_id(call: ComputeRequest) -> object:
    """GET /versions/{id}."""
    for version in VERSIONS:
        # Whoever asks the face from before microversions is told of that one, whichever it names.
        if version.id == (_LEGACY.id if call.legacy else call.path["id"]):
            return _document(version, call.application_url)
    raise HttpError(404, f"Version {call.path['id']} could not be found.")


_RULE = "os_compute_api:versions"

ROUTES = (
    Route("GET", "/", _RULE, show),
    Route("GET", "/versions/{id}", _RULE, show_by_id),
)
