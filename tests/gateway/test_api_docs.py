"""docs/api.md says what is served. `python -m tests.gateway.test_api_docs` writes its table anew."""

import sys
from pathlib import Path

from gateway.compute.app import ROUTES
from gateway.compute.history import MAXIMUM
from gateway.routes import describe

TABLE = ("| GET", "| P", "| DELETE")
PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_page_lists_just_the_routes_that_are_there() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(TABLE)]
    assert rows == describe(ROUTES)


def test_the_page_names_the_maximum() -> None:
    assert f"microversions 2.1 to 2.{MAXIMUM}" in PAGE.read_text()


def write() -> None:
    """Put the routes that are there into the page."""
    rest = [line for line in PAGE.read_text().splitlines() if not line.startswith(TABLE)]
    head = rest.index("|---|---|---|") + 1
    PAGE.write_text("\n".join([*rest[:head], *describe(ROUTES), *rest[head:]]) + "\n")


if __name__ == "__main__":
    write()
    sys.stdout.write(f"wrote {PAGE}\n")
