"""docs/tempest.md says what Tempest is told and what is left out of it."""

from tests.clients import tempest_page
from tests.clients.tempest_runs import read


def test_the_page_is_true() -> None:
    assert tempest_page.PAGE.read_text() == tempest_page.page(), (
        "docs/tempest.md is not true any more: python -m tests.clients.tempest_page"
    )


def test_what_tempest_prints_is_understood() -> None:
    outcome = read(
        "{1} tempest.a.B.test_c [0.027012s] ... ok\n"
        "{0} tempest.a.B.test_d [1.1s] ... FAILED\n"
        "{0} setUpClass (tempest.a.E) ... SKIPPED: Neutron is required\n"
        "Totals\n======\nRan: 3 tests\n"
    )
    assert outcome.passed == ["tempest.a.B.test_c"]
    assert outcome.failed == ["tempest.a.B.test_d"]
    assert outcome.skipped == {"setUpClass (tempest.a.E)": "Neutron is required"}
    assert outcome.summary.endswith("Ran: 3 tests")
