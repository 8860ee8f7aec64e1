"""GuestService: passwords for guests, which pass through here and are written nowhere."""

import asyncio

from db import operations
from db.database import Connection, Database
from db.operations import Work
from db.schema.base import now
from novamesh.conductor.v1.guest_service_pb2 import SetAdminPasswordRequest, SetAdminPasswordResponse
from novamesh.conductor.v1.operation_service_pb2 import StartOperationRequest
from novamesh.failures import StateConflictError, UnavailableError
from novamesh.types.v1.operation_pb2 import OperationKind
from services.conductor import states
from services.conductor.feed import Feeds
from services.conductor.ledger import Ledger
from services.conductor.operations import Start, accept
from services.conductor.options import ConductorOptions
from services.conductor.preparation import Preparation
from services.conductor.workflows.password import PasswordWorkflow
from services.mesh import Call

# Seconds after which somebody who was refused for want of room may ask again.
_SOON = 1.0


class _Alone:
    """Accepts only what can begin at once: a password can't wait in the ledger."""

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """Raises StateConflictError while other work on the instance goes on."""
        if operations.live(connection, asked.instance.id):
            raise StateConflictError(
                f"Cannot '{states.CHANGE_PASSWORD.action}' instance {asked.instance.id} "
                "while other work on it goes on",
                states.conflict(asked.instance, states.CHANGE_PASSWORD, task_in_the_way=True),
            )


class GuestServicer:
    """Answers novamesh.conductor.v1.GuestService."""

    def __init__(
        self,
        database: Database,
        options: ConductorOptions,
        ledger: Ledger,
        feeds: Feeds,
        workflow: PasswordWorkflow,
    ) -> None:
        self._database = database
        self._options = options
        self._quota = options.quota.by_resource()
        self._ledger = ledger
        self._feeds = feeds
        self._workflow = workflow

    async def SetAdminPassword(
        self, request: SetAdminPasswordRequest, call: Call
    ) -> SetAdminPasswordResponse:
        """Accept the operation, without the password, and wait for its end."""
        lease = self._ledger.lease()
        if lease is None:
            raise UnavailableError("conductor", "This conductor has enough to do.", retry_after=_SOON)
        asked = Start(
            StartOperationRequest(
                request_id=request.request_id,
                instance_id=request.instance_id,
                project_id=request.project_id,
                kind=OperationKind.OPERATION_KIND_CHANGE_PASSWORD,
            ),
            call.context,
            now(),
            lease,
            1,
            self._quota,
            0,
            lambda _kind: _Alone(),
        )
        started = await self._database.write(lambda c: accept(c, asked))
        operation = started.operation
        if not started.repeated:
            self._feeds.instances.touch([started.instance.id])
            self._feeds.operations.touch([operation.id])
            done = self._workflow.expect(operation.id, request.password)
            self._ledger.take([Work(operation, started.memory)])
            try:
                # The work goes on when who asked has gone.
                async with asyncio.timeout(2 * self._options.call_timeout):
                    await asyncio.shield(done)
            except TimeoutError:
                done.cancel()
                raise UnavailableError("compute", "Setting the password took too long.") from None
            except asyncio.CancelledError:
                if not done.cancelled():
                    raise
                # A delete has overtaken it, or this conductor stops.
                raise StateConflictError(
                    f"Setting the password of instance {started.instance.id} was interrupted",
                    states.conflict(started.instance, states.CHANGE_PASSWORD, task_in_the_way=True),
                ) from None
        ended = await self._database.read(lambda c: operations.get(c, operation.id))
        return SetAdminPasswordResponse(operation=ended)
