"""Change password: what is set is in the memory of the conductor that was asked, and nowhere else.

So it is tried once, while whoever asked waits. An operation whose conductor has died, or that another one
took up, fails: nobody knows the password any more.
"""

import asyncio

from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.guest_service_pb2 import SetAdminPasswordRequest
from novamesh.failures import Failure, InternalError, InvalidArgumentError, UnavailableError
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import endings, states
from services.conductor.endings import Ending
from services.conductor.ledger import HostDownError
from services.conductor.preparation import Preparation
from services.conductor.workflows.at_host import guests, locate
from services.conductor.workflows.ground import Ground


class PasswordWorkflow:
    """See the module."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        # By operation: the password, and who waits for the end.
        self._asked: dict[str, tuple[str, asyncio.Future[None]]] = {}

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """Raises InvalidArgumentError: an operation that is asked for as such brings no password."""
        raise InvalidArgumentError("kind", "A password is changed by GuestService.SetAdminPassword.")

    def expect(self, operation_id: str, password: str) -> "asyncio.Future[None]":
        """Keep a password for an operation that is about to be taken up. The future ends with it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked[operation_id] = (password, done)

        def forget(done: "asyncio.Future[None]") -> None:
            del self._asked[operation_id]
            if not done.cancelled():
                # Looked at, whether or not somebody still waits.
                done.exception()

        done.add_done_callback(forget)
        return done

    async def run(self, work: Work) -> None:
        """Set it, and tell who waits."""
        operation = work.operation
        password, done = self._asked.get(operation.id, ("", None))
        if done is None:
            raise InternalError(
                "SetAdminPassword", operation.request_id, "The conductor that knew the password has ended."
            )
        try:
            await self._set(work, password)
        except Failure as failure:
            await self.give_up(work, failure)
        finally:
            if not done.done():
                done.cancel()

    async def give_up(self, work: Work, failure: Failure) -> None:
        """The password is as it was, with the reason in the instance's fault."""
        operation, at = work.operation, now()

        def change(_connection: Connection, locked: Instance) -> None:
            _free(locked)
            locked.fault.CopyFrom(endings.fault_of(failure, at))

        end = endings.failed(operation.id, self._ground.owner, failure, operation.host)
        await self._ground.end(Ending(end, operation.instance_id, at, change))
        self._tell(operation.id, failure)

    async def _set(self, work: Work, password: str) -> None:
        operation = work.operation
        try:
            instance, host = await locate(self._ground, work)
        except HostDownError as down:
            raise UnavailableError("compute", str(down)) from down
        await guests(self._ground, host).SetAdminPassword(
            SetAdminPasswordRequest(operation_id=operation.id, instance=instance, password=password),
            timeout=self._ground.options.call_timeout,
        )
        end = endings.succeeded(operation.id, self._ground.owner, host.name)
        await self._ground.end(Ending(end, instance.id, now(), lambda _connection, locked: _free(locked)))
        self._tell(operation.id, None)

    def _tell(self, operation_id: str, failure: Failure | None) -> None:
        """How it ended, to who waits; whoever has lost patience has taken the entry away."""
        _, done = self._asked.get(operation_id, ("", None))
        if done is None or done.done():
            return
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)


def _free(instance: Instance) -> None:
    if instance.task_state == states.CHANGE_PASSWORD.task_state:
        instance.task_state = states.IDLE
