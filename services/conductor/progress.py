"""What running operations are at: kept in memory, and written down once a second."""

from novamesh.conductor.v1.operation_service_pb2 import ReportProgressRequest
from novamesh.types.v1.operation_pb2 import Operation, OperationState

# Operations whose steps are remembered: one that ends without being looked at would stay for good.
REMEMBERED = 10_000
LONGEST_STEP = 255


class ProgressBook:
    """The latest step of each operation that somebody has reported on."""

    def __init__(self) -> None:
        self._steps: dict[str, tuple[str, int, str]] = {}
        self._unwritten: set[str] = set()

    def knows(self, operation_id: str, host: str) -> bool:
        """True when a report of this operation by this host has been let through before."""
        noted = self._steps.get(operation_id)
        return noted is not None and noted[2] == host

    def note(self, request: ReportProgressRequest, host: str) -> None:
        """Remember a report."""
        self._steps.pop(request.id, None)
        self._steps[request.id] = (request.step[:LONGEST_STEP], request.progress, host)
        if len(self._steps) > REMEMBERED:
            self.forget(next(iter(self._steps)))
        self._unwritten.add(request.id)

    def show(self, operation: Operation) -> Operation:
        """The operation with its latest step; forgets one that has ended."""
        noted = self._steps.get(operation.id)
        if noted is None:
            return operation
        if operation.state != OperationState.OPERATION_STATE_RUNNING:
            self.forget(operation.id)
            return operation
        shown = Operation()
        shown.CopyFrom(operation)
        shown.step, shown.progress = noted[0], noted[1]
        return shown

    def forget(self, operation_id: str) -> None:
        """The operation has ended."""
        self._steps.pop(operation_id, None)
        self._unwritten.discard(operation_id)

    def unwritten(self) -> dict[str, tuple[str, int]]:
        """What has been reported since the last call, to be written."""
        steps = {one: self._steps[one][:2] for one in self._unwritten}
        self._unwritten.clear()
        return steps
