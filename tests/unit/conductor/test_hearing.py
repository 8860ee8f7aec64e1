"""Who counts as up after a silence that was the conductor's own."""

from datetime import datetime, timedelta

from services.conductor.hearing import Hearing

DOWN = timedelta(seconds=60)
START = datetime(2026, 1, 1)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_while_reports_are_written_silence_counts() -> None:
    hearing = Hearing(60.0, 10.0)
    for seconds in range(0, 300, 10):
        hearing.wrote(after(seconds))
    assert hearing.up_since(after(295)) == after(295) - DOWN


def test_a_new_cloud_counts_at_once() -> None:
    hearing = Hearing(60.0, 10.0)
    assert hearing.up_since(after(0)) == after(0) - DOWN
    hearing.wrote(after(1))
    assert hearing.up_since(after(2)) == after(2) - DOWN


def test_after_an_absence_nobody_is_dead_who_was_alive_before_it() -> None:
    hearing = Hearing(60.0, 10.0)
    hearing.wrote(after(0))
    # While it lasts, and for as long as a host may be silent after it, the last word stands.
    assert hearing.up_since(after(500)) == after(0) - DOWN
    hearing.wrote(after(1000))
    assert hearing.up_since(after(1000)) == after(0) - DOWN
    for seconds in range(1010, 1060, 10):
        hearing.wrote(after(seconds))
    assert hearing.up_since(after(1059)) == after(0) - DOWN
    hearing.wrote(after(1060))
    assert hearing.up_since(after(1061)) == after(1061) - DOWN


def test_a_short_silence_is_none() -> None:
    hearing = Hearing(60.0, 10.0)
    hearing.wrote(after(0))
    hearing.wrote(after(25))
    assert hearing.up_since(after(26)) == after(26) - DOWN


def test_seldom_reports_are_no_absence() -> None:
    hearing = Hearing(15.0, 10.0)
    for seconds in range(0, 100, 10):
        hearing.wrote(after(seconds))
        assert hearing.up_since(after(seconds + 9)) == after(seconds + 9) - timedelta(seconds=15)
