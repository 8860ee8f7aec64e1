"""Public keys of users."""

from collections.abc import Mapping

from db import keypairs, quotas
from db.database import Connection, Database
from db.schema.base import now
from novamesh.conductor.v1.keypair_service_pb2 import (
    CreateKeypairRequest,
    CreateKeypairResponse,
    DeleteKeypairRequest,
    DeleteKeypairResponse,
    GetKeypairRequest,
    GetKeypairResponse,
    Keypair,
    ListKeypairsRequest,
    ListKeypairsResponse,
)
from novamesh.failures import InvalidArgumentError
from services.conductor import limits
from services.mesh import Call


class KeypairServicer:
    """Answers novamesh.conductor.v1.KeypairService."""

    def __init__(self, database: Database, quota: Mapping[str, int]) -> None:
        self._database = database
        self._quota = quota

    async def CreateKeypair(self, request: CreateKeypairRequest, call: Call) -> CreateKeypairResponse:
        """Store one."""
        keypair = request.keypair
        if not keypair.public_key:
            raise InvalidArgumentError("public_key", "A key pair needs a public key.")
        at = now()

        def work(connection: Connection) -> Keypair:
            # The user's row of the usage is the lock under which keys are counted.
            quotas.lock_usage(connection, "", keypair.user_id)
            of_project, of_user = quotas.limits(connection, call.context.project_id, keypair.user_id)
            limit = {**self._quota, **of_project, **of_user}["key_pairs"]
            used = keypairs.count(connection, keypair.user_id)
            limits.check_count("key_pairs", limit, used, 1)
            return keypairs.add(connection, keypair, at)

        return CreateKeypairResponse(keypair=await self._database.write(work))

    async def GetKeypair(self, request: GetKeypairRequest, call: Call) -> GetKeypairResponse:
        """One key pair."""
        return GetKeypairResponse(
            keypair=await self._database.read(lambda c: keypairs.get(c, request.user_id, request.name))
        )

    async def ListKeypairs(self, request: ListKeypairsRequest, call: Call) -> ListKeypairsResponse:
        """A page."""
        found, more = await self._database.read(lambda c: keypairs.page(c, request))
        return ListKeypairsResponse(keypairs=found, more=more)

    async def DeleteKeypair(self, request: DeleteKeypairRequest, call: Call) -> DeleteKeypairResponse:
        """Remove one."""
        await self._database.write(lambda c: keypairs.remove(c, request.user_id, request.name))
        return DeleteKeypairResponse()
