"""What Keystone has and the embedded identity has not: refused by name."""

from aiohttp import web

from gateway.faults import HttpError
from gateway.identity.edge import Edge, Exchange, Reply

_ABSENT = {
    "groups": "User groups are",
    "credentials": "Credentials are",
    "policies": "Policy documents are",
    "limits": "Unified limits are",
    "registered_limits": "Unified limits are",
    "OS-TRUST": "Trusts are",
    "OS-FEDERATION": "Federation is",
    "OS-OAUTH1": "OAuth is",
    "OS-OAUTH2": "OAuth is",
    "OS-INHERIT": "Inherited roles are",
    "OS-EP-FILTER": "Endpoint filters are",
    "system": "Roles on the system are",
}


class UnsupportedResource:
    """Answers 501 for all methods."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[web.RouteDef]:
        """What this resource answers."""
        answer = self._edge.guarded(self.refuse)
        return [web.route("*", f"/v3/{{resource:{resource}}}{{rest:(/.*)?}}", answer) for resource in _ABSENT]

    async def refuse(self, exchange: Exchange) -> Reply:
        """Always fails."""
        raise HttpError(
            501,
            f"{_ABSENT[exchange.path('resource')]} not supported by the embedded identity; "
            "a Keystone by URL has them.",
        )
