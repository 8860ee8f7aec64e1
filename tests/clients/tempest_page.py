"""Writes docs/tempest.md: `python -m tests.clients.tempest_page`."""

from collections.abc import Iterable
from pathlib import Path

from tests.clients.tempest_settings import GUESTS, LEFT_OUT, RUNS, SETTINGS, SKIPPED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tempest.md"

_INTRODUCTION = """\
# Tempest

`make clients` runs Tempest 35.0.0 from PyPI: all of `tempest.api.compute`, `admin` included, on a cloud of
two hosts with pretended guests (tests/clients/test_tempest.py), and the server actions on a cloud of real
ones, into which Tempest logs in by ssh (tests/clients/test_tempest_guests.py). No test may fail, and those
that Tempest leaves out by itself must be of the reasons below. It gets its users from the embedded identity,
by dynamic credentials, and its images from the embedded image service.

This page is made from tests/clients/tempest_settings.py by `python -m tests.clients.tempest_page`, and a test
compares them.
"""


def page() -> str:
    """The text of the page."""
    parts = [
        _INTRODUCTION,
        "## Runs\n",
        "`passes` is how many tests pass at the least.\n",
        *_table(
            ("run", "min_microversion", "max_microversion", "fixed_network_name", "passes", "what for"),
            (
                (run.name, run.minimum, run.maximum, run.network, str(run.passes), run.reason)
                for run in (*RUNS, GUESTS)
            ),
        ),
        "\n## Options that are not Tempest's defaults\n",
        *_table(
            ("section", "option", "value", "why"),
            ((entry.section, entry.option, entry.value, entry.reason) for entry in SETTINGS),
        ),
        "\nIn some runs only:\n",
        *_table(
            ("run", "section", "option", "value", "why"),
            (
                (run.name, entry.section, entry.option, entry.value, entry.reason)
                for run in (*RUNS, GUESTS)
                for entry in run.settings
            ),
        ),
        "\n## Left out\n",
        "By regular expressions on the tests' names.\n",
        *_table(
            ("tests", "runs", "why"),
            ((f"`{entry.tests}`", ", ".join(entry.runs) or "all", entry.reason) for entry in LEFT_OUT),
        ),
        "\n## Left out by Tempest itself\n",
        *_table(
            ("what Tempest says", "what it means here"),
            ((f"`{entry.says}`", entry.reason) for entry in SKIPPED),
        ),
    ]
    return "\n".join(parts) + "\n"


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = (titles, tuple("---" for _ in titles), *rows)
    # A bar would end the cell.
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


if __name__ == "__main__":
    PAGE.write_text(page())
