"""What a kind of work adds to its acceptance: checks and writes in the transaction that accepts it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from db.database import Connection
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import Operation
from novamesh.types.v1.request_context_pb2 import RequestContext


@dataclass(frozen=True)
class Preparation:
    """A request for work that the table of states allows."""

    instance: Instance
    """Locked; what is changed here is saved with the operation, and shows to users at once."""
    operation: Operation
    """About to be written; its arguments may be filled in."""
    context: RequestContext
    """Who asked."""
    at: datetime
    quota: Mapping[str, int]
    """The cloud's own limits by resource, for services.conductor.limits."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What the workflow is to remember from here on: becomes Work.memory."""


@runtime_checkable
class Preparing(Protocol):
    """A workflow whose acceptance is more than a new task_state."""

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """Check and write. Whatever it raises refuses the request, with nothing written."""
        ...
