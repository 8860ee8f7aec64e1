"""Passwords that guests have set, encrypted to their users, in pieces of the system metadata."""

from db import instances
from db.database import Connection, Database
from db.schema.base import now
from novamesh.conductor.v1.password_service_pb2 import (
    ClearPasswordRequest,
    ClearPasswordResponse,
    SetPasswordRequest,
    SetPasswordResponse,
)
from novamesh.failures import AlreadyExistsError, InvalidArgumentError, NotFoundError
from services.conductor import edits
from services.conductor.feed import Feeds
from services.mesh import Call

# As Nova cuts it: pieces that fit a column of 255 characters.
PIECES = 4
PIECE_LENGTH = 255


class PasswordServicer:
    """Answers novamesh.conductor.v1.PasswordService."""

    def __init__(self, database: Database, feeds: Feeds) -> None:
        self._database = database
        self._feeds = feeds

    async def SetPassword(self, request: SetPasswordRequest, call: Call) -> SetPasswordResponse:
        """Keep it, if there is none."""
        if len(request.password) > PIECES * PIECE_LENGTH:
            raise InvalidArgumentError(
                "password", f"A password has {PIECES * PIECE_LENGTH} bytes at most, encrypted."
            )
        try:
            text = request.password.decode("ascii")
        except UnicodeDecodeError:
            raise InvalidArgumentError("password", "An encrypted password is written in base64.") from None
        at = now()

        def work(connection: Connection) -> None:
            instance = edits.lock_present(connection, request.instance_id)
            if any(instance.system_metadata.get(name) for name in _names()):
                raise AlreadyExistsError("password", instance.id)
            for position, name in enumerate(_names()):
                start = position * PIECE_LENGTH
                instance.system_metadata[name] = text[start : start + PIECE_LENGTH]
            instances.save(connection, instance, at)

        await self._database.write(work)
        self._feeds.instances.touch([request.instance_id])
        return SetPasswordResponse()

    async def ClearPassword(self, request: ClearPasswordRequest, call: Call) -> ClearPasswordResponse:
        """Forget it."""
        at = now()

        def work(connection: Connection) -> None:
            instance = edits.lock_present(connection, request.instance_id)
            if request.project_id not in ("", instance.project_id):
                raise NotFoundError("instance", instance.id)
            for name in _names():
                instance.system_metadata.pop(name, None)
            instances.save(connection, instance, at)

        await self._database.write(work)
        self._feeds.instances.touch([request.instance_id])
        return ClearPasswordResponse()


def _names() -> list[str]:
    return [f"password_{number}" for number in range(PIECES)]
