"""What identity alone may see: hashes of secrets, and signing keys."""

from db import authentication, users
from db.database import Database
from novamesh.conductor.v1.authentication_service_pb2 import (
    CreateUserRequest,
    CreateUserResponse,
    GetAuthenticationRequest,
    GetAuthenticationResponse,
    ListSigningKeysRequest,
    ListSigningKeysResponse,
    PublishSigningKeyRequest,
    PublishSigningKeyResponse,
    RecordAttemptRequest,
    RecordAttemptResponse,
    SetPasswordHashRequest,
    SetPasswordHashResponse,
)
from services.conductor.revocations import RevocationFeed
from services.mesh import Call


class AuthenticationServicer:
    """Answers novamesh.conductor.v1.AuthenticationService."""

    def __init__(self, database: Database, feed: RevocationFeed) -> None:
        self._database = database
        self._feed = feed

    async def CreateUser(self, request: CreateUserRequest, call: Call) -> CreateUserResponse:
        """Write a new user."""
        user = await self._database.write(
            lambda c: users.create(c, request.user, request.password_hash, request.request_id)
        )
        return CreateUserResponse(user=user)

    async def GetAuthentication(
        self, request: GetAuthenticationRequest, call: Call
    ) -> GetAuthenticationResponse:
        """All that decides a login."""
        return await self._database.read(lambda c: authentication.look_up(c, request))

    async def SetPasswordHash(self, request: SetPasswordHashRequest, call: Call) -> SetPasswordHashResponse:
        """Keep the hash of a password."""
        user = await self._database.write(
            lambda c: authentication.set_password_hash(
                c, request.user_id, request.password_hash, request.same_password
            )
        )
        self._feed.wake()
        return SetPasswordHashResponse(user=user)

    async def RecordAttempt(self, request: RecordAttemptRequest, call: Call) -> RecordAttemptResponse:
        """Count a wrong password, or forget them."""
        count = await self._database.write(
            lambda c: authentication.record_attempt(c, request.user_id, request.succeeded)
        )
        return RecordAttemptResponse(failed_attempts=count)

    async def PublishSigningKey(
        self, request: PublishSigningKeyRequest, call: Call
    ) -> PublishSigningKeyResponse:
        """Keep a public key."""
        await self._database.write(lambda c: authentication.publish_key(c, request.key))
        return PublishSigningKeyResponse()

    async def ListSigningKeys(self, request: ListSigningKeysRequest, call: Call) -> ListSigningKeysResponse:
        """The keys that have not ended."""
        return ListSigningKeysResponse(keys=await self._database.read(authentication.list_keys))
