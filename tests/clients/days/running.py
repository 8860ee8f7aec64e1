"""Days that are lived at the same time, a thread each, and a test for each that waits for its end."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

Day = Callable[[], None]


@contextmanager
def started(days: Mapping[str, Day]) -> Iterator[Mapping[str, Future[None]]]:
    """All of the days begun; what a day fails with, its future's `result` raises."""
    with ThreadPoolExecutor(max(len(days), 1)) as threads:
        yield {name: threads.submit(day) for name, day in days.items()}
