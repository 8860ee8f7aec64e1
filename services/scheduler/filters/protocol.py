"""What a filter is."""

from typing import Protocol

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class HostFilter(Protocol):
    """Says which hosts may take an instance. One filter judges all hosts at once."""

    @property
    def name(self) -> str:
        """Name in `enabled_filters` and in refusals."""
        ...

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """True for each row of `hosts.columns` that will do; None when all will. Changes nothing."""
        ...
