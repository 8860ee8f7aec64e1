"""Since when silence says something: hosts and roles count as up by when they were heard of last.

A conductor that was away, or had no database to write into, has no reason to think that everybody died
meanwhile. So whoever was up when it stopped to hear stays up until it has listened for as long as a host may
be silent. Otherwise a restart would refuse what was accepted before, and delete records of guests that run.
"""

from datetime import datetime, timedelta

from db import hosts


class Hearing:
    """What one conductor knows of when reports could be heard and written.

    `down_time`: seconds of silence after which a host or role counts as down. `report_interval`: seconds
    between a conductor's reports on itself.
    """

    def __init__(self, down_time: float, report_interval: float) -> None:
        self._down_time = down_time
        # So long without a written report, and nothing can be heard: the conductor's own would have come.
        self._gap = timedelta(seconds=max(down_time / 2, 2 * report_interval))
        self._last: datetime | None = None
        # When the present time of hearing began, and when the one before it had ended.
        self._began = datetime.min
        self._before = datetime.min

    def wrote(self, at: datetime) -> None:
        """Reports were written at this moment, by this conductor or another."""
        if self._last is not None and at - self._last > self._gap:
            self._before, self._began = self._last, at
        self._last = at

    def up_since(self, at: datetime) -> datetime:
        """The time that those who are up have been heard of since."""
        judged = at
        if self._last is not None and at - self._last > self._gap:
            judged = self._last
        elif at - self._began < timedelta(seconds=self._down_time):
            judged = self._before
        return hosts.up_since(judged, self._down_time)
