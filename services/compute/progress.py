"""Tells the ledger what a long operation is at."""

import asyncio

import structlog

from novamesh.conductor.v1.operation_service_pb2 import ReportProgressRequest
from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceStub
from novamesh.failures import Failure
from services.mesh import Node

log = structlog.get_logger("novamesh.compute")

# Seconds that a step lasts before anybody is told, and between two reports.
INTERVAL = 1.0


class ProgressReporter:
    """The `Progress` of one operation. Quick steps cost nothing; a lost report is nobody's loss.

    Use as a context manager: the end of the block ends the reports.
    """

    def __init__(self, node: Node, operation_id: str) -> None:
        self._node = node
        self._operation_id = operation_id
        self._now = ("", 0)
        self._sent = ("", 0)
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> "ProgressReporter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def __call__(self, step: str, percent: int) -> None:
        """Called by the driver, as often as it likes."""
        self._now = (step, percent)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._due)

    def _due(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._due)
        if self._now != self._sent and (self._task is None or self._task.done()):
            self._sent = self._now
            self._task = asyncio.create_task(self._send(*self._now))

    async def _send(self, step: str, percent: int) -> None:
        request = ReportProgressRequest(id=self._operation_id, step=step, progress=percent)
        try:
            await OperationServiceStub(self._node.channel("conductor")).ReportProgress(request, timeout=5)
        except Failure as failure:
            log.debug("progress not reported", operation=self._operation_id, why=failure.message)
