"""docs/clients.md says what is refused to other people's clients."""

from pathlib import Path

from tests.clients.refusals import refusal_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"


def test_the_table_is_true() -> None:
    assert refusal_table() in PAGE.read_text(), (
        "docs/clients.md: put in tests.clients.refusals.refusal_table()"
    )
