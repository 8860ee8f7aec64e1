"""The page docs/api-coverage.md: every operation that Nova's Compute API knows, and what it does here.

`python -m tests.api_coverage` writes it from the reference list and from the routes; a test keeps it true.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gateway.compute.app import ROUTES
from gateway.compute.history import MAXIMUM
from gateway.routes import Route

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api-coverage.md"
REFERENCE = ROOT / "tests" / "gateway" / "reference_routes.txt"
WORKS, GONE, REFUSED, MISSING = "works", "gone as in Nova", "refused", "missing"
HEAD = """\
# Nova's Compute API, operation by operation

Written by `python -m tests.api_coverage` from the list of what Nova knows at {maximum}, which is in
`tests/gateway/reference_routes.txt`, and from the gateway's routes; a test keeps it true. Paths are below
`/v2.1`, with or without a project.

- **works**: does what Nova's does, at these microversions. At others it is 404, as in Nova.
- **gone as in Nova**: Nova has removed it and answers the same, at every microversion.
- **refused**: this cloud lacks what it needs. The status is Nova's where that part is not set up, else 501.

"""


@dataclass(frozen=True)
class Operation:
    """A line of the reference list: method, path, and action if it is one."""

    method: str
    path: str
    action: str = ""

    @property
    def label(self) -> str:
        """`POST /servers/{id}/action reboot`."""
        return f"{self.method} {self.path} {self.action}".rstrip()


@cache
def reference() -> tuple[Operation, ...]:
    """What Nova knows."""
    lines = REFERENCE.read_text().splitlines()
    return tuple(Operation(*line.split(" ")) for line in lines if not line.startswith("#"))


@cache
def reference_paths() -> frozenset[str]:
    """Its paths."""
    return frozenset(operation.path for operation in reference())


def covers(path: str, pattern: str) -> bool:
    """Whether a route's path is one of those that the pattern stands for: `/os-services/enable` is one of
    `/os-services/{id}`. Names of parameters don't matter."""
    steps, wanted = path.split("/"), pattern.split("/")
    return len(steps) == len(wanted) and all(
        step == want or (want.startswith("{") and (step.startswith("{") or not names_a_route(pattern, step)))
        for step, want in zip(steps, wanted, strict=True)
    )


def names_a_route(pattern: str, step: str) -> bool:
    """Whether this word in place of the pattern's parameter is an operation of its own, as `detail` is."""
    return f"{pattern.rpartition('/')[0]}/{step}" in reference_paths()


def routes_of(operation: Operation, routes: Sequence[Route] = ROUTES) -> list[Route]:
    """What answers it."""
    return [
        route
        for route in routes
        if (route.method, route.action) == (operation.method, operation.action)
        and covers(route.path, operation.path)
    ]


def state_of(found: Sequence[Route]) -> str:
    """What an operation does here."""
    if not found:
        return MISSING
    if any(not route.refusal for route in found):
        return WORKS
    return GONE if found[0].status == 410 else REFUSED


def versions_of(found: Sequence[Route]) -> str:
    """`2.1 - 2.35`, `2.53 -`."""
    if not found:
        return ""
    first = min(route.first for route in found)
    lasts = [MAXIMUM if route.last is None else route.last for route in found]
    last = max(lasts)
    return f"2.{first} - " + ("" if last == MAXIMUM else f"2.{last}")


def page() -> str:
    """The page."""
    rows = []
    count: Counter[str] = Counter()
    for operation in reference():
        found = routes_of(operation)
        state = state_of(found)
        count[state] += 1
        shown, why = state, ""
        if state in (GONE, REFUSED):
            shown, why = f"{state} ({found[0].status})", found[0].refusal
        rows.append(f"| {operation.label} | {shown} | {versions_of(found).strip()} | {why} |\n")
    totals = ", ".join(f"{count[state]} {state}" for state in (WORKS, GONE, REFUSED, MISSING) if count[state])
    table = "| Operation | State | Microversions | Why |\n|---|---|---|---|\n"
    head = HEAD.format(maximum=f"2.{MAXIMUM}")
    return f"{head}{sum(count.values())} operations: {totals}.\n\n{table}{''.join(rows)}"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"wrote {PAGE}\n")
