"""The embedded identity: decides logins by the conductor's records."""

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from drivers.identity import Issued, Validated
from drivers.identity.embedded.options import EmbeddedOptions
from drivers.identity.embedded.passwords import Passwords
from drivers.identity.embedded.revocations import FollowedRevocations
from drivers.identity.embedded.signing import TokenSigner
from novamesh.conductor.v1.authentication_service_pb2 import (
    AuthorizationScope,
    GetAuthenticationRequest,
    GetAuthenticationResponse,
    RecordAttemptRequest,
    SetPasswordHashRequest,
)
from novamesh.conductor.v1.revocation_service_pb2 import RecordRevocationRequest
from novamesh.failures import InvalidArgumentError, NotFoundError, UnauthenticatedError
from novamesh.identity.v1.token_service_pb2 import (
    ApplicationCredentialMethod,
    IssueTokenRequest,
    PasswordMethod,
    Scope,
    TokenMethod,
    WatchRevocationsResponse,
)
from novamesh.types.v1.identity_pb2 import Revocation, SigningKey, Token

if TYPE_CHECKING:
    from novamesh.conductor.v1.authentication_service_pb2_grpc import AuthenticationServiceAsyncStub
    from novamesh.conductor.v1.revocation_service_pb2_grpc import RevocationServiceAsyncStub

log = structlog.get_logger("novamesh.identity")


@dataclass(frozen=True)
class _Found:
    """A user as the records had it; `read_at` in seconds since 1970, taken before they were read.

    That is the token's time of issue: a change that comes while the password is being checked then still
    revokes it.
    """

    record: GetAuthenticationResponse
    read_at: float


# Seconds that a caller of ValidateToken may keep the answer: it has no other way to hear of a revocation.
_VALID_FOR = 5.0
_WRONG = "The user name, the password or the scope is wrong, or the user is disabled."


class EmbeddedIdentity:
    """Users, passwords and tokens of this cloud's own: IdentityDriver, IssuesTokens and HashesSecrets."""

    name = "embedded"

    def __init__(
        self,
        options: EmbeddedOptions,
        records: "AuthenticationServiceAsyncStub",
        revocations: "RevocationServiceAsyncStub",
    ) -> None:
        self._options = options
        self._records = records
        self._recorder = revocations
        self._passwords = Passwords(options)
        self._signer = TokenSigner(options, records)
        self._revocations = FollowedRevocations(revocations)
        # One login of a user at a time where attempts are counted, or a burst would get more than its share.
        self._attempts: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Read the signing keys and begin to follow revocations."""
        self._signer.load()
        await self._revocations.start()

    async def stop(self) -> None:
        """Stop following, end the threads."""
        await self._revocations.stop()
        self._passwords.close()

    async def validate(self, token: str) -> Validated:
        """See IdentityDriver."""
        described = await self._signer.read(token)
        if await self._revocations.revokes(described):
            raise UnauthenticatedError("The token was revoked.")
        return Validated(described, min(_VALID_FOR, described.expires_at.seconds - time.time()))

    async def issue(self, request: IssueTokenRequest) -> Issued:
        """See IssuesTokens."""
        method = request.WhichOneof("method")
        if method == "password":
            return await self._by_password(request.password, request.scope)
        if method == "token":
            return await self._by_token(request.token, request.scope)
        if method == "application_credential":
            return await self._by_application_credential(request.application_credential)
        raise InvalidArgumentError(
            "method", "A login needs a password, a token or an application credential."
        )

    async def revoke(self, token: str) -> Revocation:
        """See IssuesTokens."""
        described = (await self.validate(token)).token
        # Kept no longer than the token itself would have lived.
        revocation = Revocation(audit_id=described.audit_ids[0], expires_at=described.expires_at)
        answer = await self._recorder.RecordRevocation(RecordRevocationRequest(revocation=revocation))
        self._revocations.add(answer.revocation)
        return answer.revocation

    async def signing_keys(self) -> Sequence[SigningKey]:
        """See IssuesTokens."""
        return await self._signer.public_keys()

    def watch(self, after_revision: int) -> AsyncIterator[WatchRevocationsResponse]:
        """See IssuesTokens."""
        return self._revocations.watch(after_revision)

    async def hash(self, secret: str) -> str:
        """See HashesSecrets."""
        return await self._passwords.hash(secret)

    async def check_password(self, user_id: str, password: str) -> None:
        """See HashesSecrets."""
        await self._recognise(
            GetAuthenticationRequest(user_id=user_id, scope=AuthorizationScope(unscoped=True)), password
        )

    async def _by_password(self, method: PasswordMethod, scope: Scope) -> Issued:
        if not method.user_id and not (method.user_name and (method.domain_id or method.domain_name)):
            raise InvalidArgumentError("user", "A user is named by id, or by name and domain.")
        query = GetAuthenticationRequest(
            user_id=method.user_id,
            user_name=method.user_name,
            user_domain_id=method.domain_id,
            user_domain_name=method.domain_name,
            scope=_scope(scope),
        )
        found = await self._recognise(query, method.password)
        return await self._issue(found, methods=["password"])

    async def _by_token(self, method: TokenMethod, scope: Scope) -> Issued:
        base = (await self.validate(method.token)).token
        query = GetAuthenticationRequest(user_id=base.user.id, scope=_scope(scope))
        if base.HasField("application_credential"):
            if scope.ByteSize() and scope.project_id != base.project.id:
                raise UnauthenticatedError(
                    "A token of an application credential is good for its project alone."
                )
            query.application_credential_id = base.application_credential.id
        elif not self._options.allow_rescope_scoped_token and (base.project.id or base.domain.id):
            raise UnauthenticatedError("A token that has a scope can't be turned into one for another.")
        found = await self._look_up(query)
        if found is None or not found.record.enabled or not found.record.authorized:
            raise UnauthenticatedError(_WRONG)
        return await self._issue(found, methods=[*base.methods, "token"], base=base)

    async def _by_application_credential(self, method: ApplicationCredentialMethod) -> Issued:
        by_user = method.user_id or (method.user_name and (method.domain_id or method.domain_name))
        if not method.id and not (method.name and by_user):
            raise InvalidArgumentError(
                "application_credential", "An application credential is named by id, or by name and user."
            )
        query = GetAuthenticationRequest(
            user_id=method.user_id,
            user_name=method.user_name,
            user_domain_id=method.domain_id,
            user_domain_name=method.domain_name,
            application_credential_id=method.id,
            application_credential_name=method.name,
        )
        found = await self._look_up(query)
        stored = found.record.secret_hash if found else ""
        matches = await self._passwords.matches(stored, method.secret)
        if found is None or not matches or not found.record.enabled or not found.record.authorized:
            raise UnauthenticatedError(
                "The application credential or its secret is wrong, or its user or project is disabled."
            )
        return await self._issue(found, methods=["application_credential"])

    async def _recognise(self, query: GetAuthenticationRequest, password: str) -> _Found:
        """The user, when the password is right, the user enabled and the scope one that it may have."""
        if not self._options.lockout_failure_attempts:
            found = await self._match(query, password)
        else:
            who = query.user_id or f"{query.user_domain_id}/{query.user_domain_name}/{query.user_name}"
            lock = self._attempts.setdefault(who, asyncio.Lock())
            async with lock:
                found = await self._match(query, password)
        if not found.record.enabled or not found.record.authorized:
            raise UnauthenticatedError(_WRONG)
        return found

    async def _match(self, query: GetAuthenticationRequest, password: str) -> _Found:
        found = await self._look_up(query)
        if found is None:
            await self._passwords.matches("", password)
            raise UnauthenticatedError(_WRONG)
        record = found.record
        user_id = record.user.id
        if await self._is_locked_out(record):
            log.warning("login of a locked out user", user_id=user_id)
            # Takes as long as a wrong password, and says the same.
            await self._passwords.matches("", password)
            raise UnauthenticatedError(_WRONG)
        if not await self._passwords.matches(record.password_hash, password):
            if self._options.lockout_failure_attempts:
                await self._records.RecordAttempt(RecordAttemptRequest(user_id=user_id))
            raise UnauthenticatedError(_WRONG)
        if record.failed_attempts:
            await self._records.RecordAttempt(RecordAttemptRequest(user_id=user_id, succeeded=True))
        if self._passwords.is_outdated(record.password_hash):
            again = await self._passwords.hash(password)
            await self._records.SetPasswordHash(
                SetPasswordHashRequest(user_id=user_id, password_hash=again, same_password=True)
            )
        return found

    async def _is_locked_out(self, record: GetAuthenticationResponse) -> bool:
        attempts = self._options.lockout_failure_attempts
        if not attempts or record.failed_attempts < attempts:
            return False
        if time.time() < record.last_failed_at.seconds + self._options.lockout_duration:
            return True
        await self._records.RecordAttempt(RecordAttemptRequest(user_id=record.user.id, succeeded=True))
        return False

    async def _look_up(self, query: GetAuthenticationRequest) -> _Found | None:
        read_at = time.time()
        try:
            return _Found(await self._records.GetAuthentication(query), read_at)
        except NotFoundError:
            return None

    async def _issue(self, found: _Found, methods: Sequence[str], base: Token | None = None) -> Issued:
        record, issued = found.record, int(found.read_at)
        audit_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        token = Token(
            audit_ids=[audit_id, base.audit_ids[-1]] if base else [audit_id],
            methods=dict.fromkeys(methods),
            user=record.user,
            roles=record.roles,
        )
        token.issued_at.FromMicroseconds(int(found.read_at * 1e6))
        token.expires_at.seconds = base.expires_at.seconds if base else issued + self._options.expiration
        if record.HasField("project"):
            token.project.CopyFrom(record.project)
        if record.HasField("domain"):
            token.domain.CopyFrom(record.domain)
        if record.HasField("application_credential"):
            credential = record.application_credential
            if credential.HasField("expires_at"):
                if credential.expires_at.seconds <= issued:
                    raise UnauthenticatedError("The application credential has expired.")
                token.expires_at.seconds = min(token.expires_at.seconds, credential.expires_at.seconds)
            token.application_credential.CopyFrom(credential)
        return Issued(await self._signer.sign(token), token)


def _scope(scope: Scope) -> AuthorizationScope:
    return AuthorizationScope(
        project_id=scope.project_id,
        project_name=scope.project_name,
        domain_id=scope.domain_id,
        domain_name=scope.domain_name,
        unscoped=scope.unscoped,
    )
