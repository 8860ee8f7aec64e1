"""os-volumes_boot: another name of servers, from the days when booting from a volume had one, up to 2.102."""

from collections.abc import Iterable
from dataclasses import replace

from gateway.routes import Route

_LAST = 102
_PATHS = {
    "/servers": "/os-volumes_boot",
    "/servers/detail": "/os-volumes_boot/detail",
    "/servers/{id}": "/os-volumes_boot/{id}",
    "/servers/{id}/action": "/os-volumes_boot/{id}/action",
}
# The actions that were Nova's servers' own. Those of extensions never had the other name.
_ACTIONS = frozenset(
    {
        "confirmResize",
        "createImage",
        "os-start",
        "os-stop",
        "reboot",
        "rebuild",
        "resize",
        "revertResize",
        "trigger_crash_dump",
    }
)


def aliases(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes of servers once more, under the other name."""
    return tuple(
        replace(route, path=_PATHS[route.path], last=_LAST if route.last is None else min(route.last, _LAST))
        for route in routes
        if route.path in _PATHS and route.first <= _LAST and (not route.action or route.action in _ACTIONS)
    )
