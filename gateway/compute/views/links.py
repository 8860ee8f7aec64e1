"""Links in answers, and the pages of lists."""

from collections.abc import Sequence
from urllib.parse import urlencode

from gateway.compute.backends import ComputeRequest
from gateway.faults import HttpError

Links = list[dict[str, str]]


class LinkMaker:
    """Links to the things of one collection, such as `servers`, for one request."""

    __slots__ = ("_bookmark", "_own")

    def __init__(self, call: ComputeRequest, collection: str) -> None:
        self._own = f"{call.application_url}{call.prefix}{call.url_project}/{collection}/"
        self._bookmark = f"{call.application_url}{call.url_project}/{collection}/"

    def own(self, thing: str) -> str:
        """The URL of one thing."""
        return self._own + thing

    def links(self, thing: str) -> Links:
        """`self` and `bookmark` of one thing."""
        return [
            {"rel": "self", "href": self._own + thing},
            {"rel": "bookmark", "href": self._bookmark + thing},
        ]

    def bookmark(self, thing: str) -> Links:
        """`bookmark` alone."""
        return [{"rel": "bookmark", "href": self._bookmark + thing}]


def page_limit(call: ComputeRequest) -> int:
    """How many entries the caller's page has: `limit`, at most max_limit. 0 asks for none."""
    text = call.last("limit")
    most = call.state.options.max_limit
    if text is None:
        return most
    try:
        wanted = int(text)
    except ValueError:
        raise HttpError(400, "limit must be an integer") from None
    if wanted < 0:
        raise HttpError(400, "limit must be positive")
    return min(wanted, most)


def next_links(call: ComputeRequest, shown: Sequence[object], marker: str) -> Links:
    """The link to the next page, empty when this page isn't full."""
    limit = page_limit(call)
    if not shown or len(shown) < limit:
        return []
    again = [
        (name, value) for name, all_values in call.query.items() if name != "marker" for value in all_values
    ]
    again.append(("marker", marker))
    href = f"{call.application_url}{call.prefix}{call.url_project}{call.path_info}?{urlencode(again)}"
    return [{"rel": "next", "href": href}]
