"""CredentialService: hashes secrets and has the conductor keep the hashes."""

import secrets
from typing import TYPE_CHECKING

from drivers.identity import HashesSecrets, IdentityDriver
from novamesh.conductor.v1 import application_credential_service_pb2 as application_credentials
from novamesh.conductor.v1 import authentication_service_pb2 as authentication
from novamesh.failures import NotSupportedError
from novamesh.identity.v1.credential_service_pb2 import (
    ChangePasswordRequest,
    ChangePasswordResponse,
    CreateApplicationCredentialRequest,
    CreateApplicationCredentialResponse,
    CreateUserRequest,
    CreateUserResponse,
    SetPasswordRequest,
    SetPasswordResponse,
)
from novamesh.types.v1.identity_pb2 import ApplicationCredential, NamedEntity
from services.mesh import Call

if TYPE_CHECKING:
    from novamesh.conductor.v1.application_credential_service_pb2_grpc import (
        ApplicationCredentialServiceAsyncStub,
    )
    from novamesh.conductor.v1.authentication_service_pb2_grpc import AuthenticationServiceAsyncStub


class CredentialServicer:
    """Servicer of novamesh.identity.v1.CredentialService."""

    def __init__(
        self,
        driver: IdentityDriver,
        records: "AuthenticationServiceAsyncStub",
        credentials: "ApplicationCredentialServiceAsyncStub",
    ) -> None:
        self._driver = driver
        self._records = records
        self._credentials = credentials

    async def CreateUser(self, request: CreateUserRequest, call: Call) -> CreateUserResponse:
        hashed = await self._hasher().hash(request.password) if request.password else ""
        answer = await self._records.CreateUser(
            authentication.CreateUserRequest(user=request.user, password_hash=hashed)
        )
        return CreateUserResponse(user=answer.user)

    async def SetPassword(self, request: SetPasswordRequest, call: Call) -> SetPasswordResponse:
        hashed = await self._hasher().hash(request.password)
        answer = await self._records.SetPasswordHash(
            authentication.SetPasswordHashRequest(user_id=request.user_id, password_hash=hashed)
        )
        return SetPasswordResponse(user=answer.user)

    async def ChangePassword(self, request: ChangePasswordRequest, call: Call) -> ChangePasswordResponse:
        await self._hasher().check_password(request.user_id, request.original_password)
        hashed = await self._hasher().hash(request.password)
        await self._records.SetPasswordHash(
            authentication.SetPasswordHashRequest(user_id=request.user_id, password_hash=hashed)
        )
        return ChangePasswordResponse()

    async def CreateApplicationCredential(
        self, request: CreateApplicationCredentialRequest, call: Call
    ) -> CreateApplicationCredentialResponse:
        secret = request.secret or secrets.token_urlsafe(64)
        hashed = await self._hasher().hash(secret)
        wanted = ApplicationCredential(
            user_id=request.user_id,
            project_id=request.project_id,
            name=request.name,
            description=request.description,
            roles=[NamedEntity(id=role_id) for role_id in request.role_ids],
            unrestricted=request.unrestricted,
        )
        if request.HasField("expires_at"):
            wanted.expires_at.CopyFrom(request.expires_at)
        answer = await self._credentials.CreateApplicationCredential(
            application_credentials.CreateApplicationCredentialRequest(
                application_credential=wanted, secret_hash=hashed
            )
        )
        return CreateApplicationCredentialResponse(
            application_credential=answer.application_credential, secret=secret
        )

    def _hasher(self) -> HashesSecrets:
        if not isinstance(self._driver, HashesSecrets):
            raise NotSupportedError(
                "secrets", f"The {self._driver.name} driver leaves users to the identity service behind it."
            )
        return self._driver
