"""TokenService: tokens by way of the driver."""

from collections.abc import AsyncIterator

from google.protobuf.duration_pb2 import Duration
from prometheus_client import Counter

from drivers.identity import IdentityDriver, IssuesTokens
from novamesh.failures import Failure, NotSupportedError
from novamesh.identity.v1.token_service_pb2 import (
    GetSigningKeysRequest,
    GetSigningKeysResponse,
    IssueTokenRequest,
    IssueTokenResponse,
    RevokeTokenRequest,
    RevokeTokenResponse,
    ValidateTokenRequest,
    ValidateTokenResponse,
    WatchRevocationsRequest,
    WatchRevocationsResponse,
)
from services.mesh import Call

_LOGINS = Counter("novamesh_identity_logins_total", "Tokens asked for.", ["method", "outcome"])


class TokenServicer:
    """Servicer of novamesh.identity.v1.TokenService."""

    def __init__(self, driver: IdentityDriver) -> None:
        self._driver = driver

    async def IssueToken(self, request: IssueTokenRequest, call: Call) -> IssueTokenResponse:
        method = request.WhichOneof("method") or "none"
        try:
            issued = await self._issuer("tokens").issue(request)
        except Failure as failure:
            _LOGINS.labels(method, type(failure).__name__).inc()
            raise
        _LOGINS.labels(method, "issued").inc()
        return IssueTokenResponse(token=issued.token, description=issued.description)

    async def ValidateToken(self, request: ValidateTokenRequest, call: Call) -> ValidateTokenResponse:
        validated = await self._driver.validate(request.token)
        valid_for = Duration()
        valid_for.FromMilliseconds(max(0, int(validated.valid_for * 1000)))
        return ValidateTokenResponse(description=validated.token, valid_for=valid_for)

    async def RevokeToken(self, request: RevokeTokenRequest, call: Call) -> RevokeTokenResponse:
        return RevokeTokenResponse(revocation=await self._issuer("revocation").revoke(request.token))

    async def GetSigningKeys(self, request: GetSigningKeysRequest, call: Call) -> GetSigningKeysResponse:
        if not isinstance(self._driver, IssuesTokens):
            return GetSigningKeysResponse(local_verification=False)
        return GetSigningKeysResponse(keys=await self._driver.signing_keys(), local_verification=True)

    async def WatchRevocations(
        self, request: WatchRevocationsRequest, call: Call
    ) -> AsyncIterator[WatchRevocationsResponse]:
        async for batch in self._issuer("revocations").watch(request.after_revision):
            yield batch

    def _issuer(self, capability: str) -> IssuesTokens:
        if not isinstance(self._driver, IssuesTokens):
            raise NotSupportedError(
                capability,
                f"The {self._driver.name} driver leaves {capability} to the identity service behind it.",
            )
        return self._driver
