"""Records of application credentials."""

from db import application_credentials
from db.database import Database
from novamesh.conductor.v1.application_credential_service_pb2 import (
    CreateApplicationCredentialRequest,
    CreateApplicationCredentialResponse,
    DeleteApplicationCredentialRequest,
    DeleteApplicationCredentialResponse,
    GetApplicationCredentialRequest,
    GetApplicationCredentialResponse,
    ListApplicationCredentialsRequest,
    ListApplicationCredentialsResponse,
)
from services.conductor.revocations import RevocationFeed
from services.mesh import Call


class ApplicationCredentialServicer:
    """Answers novamesh.conductor.v1.ApplicationCredentialService."""

    def __init__(self, database: Database, feed: RevocationFeed) -> None:
        self._database = database
        self._feed = feed

    async def CreateApplicationCredential(
        self, request: CreateApplicationCredentialRequest, call: Call
    ) -> CreateApplicationCredentialResponse:
        """Write a new record."""
        made = await self._database.write(
            lambda c: application_credentials.create(
                c, request.application_credential, request.secret_hash, request.request_id
            )
        )
        return CreateApplicationCredentialResponse(application_credential=made)

    async def GetApplicationCredential(
        self, request: GetApplicationCredentialRequest, call: Call
    ) -> GetApplicationCredentialResponse:
        """One record."""
        found = await self._database.read(
            lambda c: application_credentials.get(c, request.id, request.user_id)
        )
        return GetApplicationCredentialResponse(application_credential=found)

    async def ListApplicationCredentials(
        self, request: ListApplicationCredentialsRequest, call: Call
    ) -> ListApplicationCredentialsResponse:
        """Those of a user."""
        found = await self._database.read(
            lambda c: application_credentials.find(c, request.user_id, request.name)
        )
        return ListApplicationCredentialsResponse(application_credentials=found)

    async def DeleteApplicationCredential(
        self, request: DeleteApplicationCredentialRequest, call: Call
    ) -> DeleteApplicationCredentialResponse:
        """Drop a record."""
        await self._database.write(lambda c: application_credentials.remove(c, request.id, request.user_id))
        self._feed.wake()
        return DeleteApplicationCredentialResponse()
