"""CertificateService: renewal, the root, and join tokens."""

from collections.abc import Callable
from datetime import timedelta

from novamesh.cert.v1.certificate_service_pb2 import (
    CreateJoinTokenRequest,
    CreateJoinTokenResponse,
    DeleteJoinTokenRequest,
    DeleteJoinTokenResponse,
    GetRootCertificateRequest,
    GetRootCertificateResponse,
    JoinToken,
    ListJoinTokensRequest,
    ListJoinTokensResponse,
    RenewCertificateRequest,
    RenewCertificateResponse,
)
from novamesh.failures import InvalidArgumentError, NotSupportedError
from services.cert.joining import JoinTokenText
from services.cert.options import CertOptions
from services.cert.tokens import JoinTokens, KeptToken
from services.mesh import Call, Peer
from services.mesh.authority import Authority
from services.mesh.identity import check_peer
from services.mesh.policy.roles import EVERYBODY

_LONGEST_TOKEN = 7 * 86400.0


def certify(authority: Authority, request: bytes, peer: Peer, life: float) -> bytes:
    """The chain for a request. Raises InvalidArgumentError when the request can't be used."""
    try:
        return authority.sign_request(request, peer, timedelta(seconds=life))
    except ValueError as error:
        raise InvalidArgumentError(
            "certificate_request", f"The certificate request can't be used: {error}."
        ) from None


class CertificateServicer:
    """Keeps the certificates of the cloud's own processes."""

    def __init__(
        self,
        authority: Authority,
        tokens: JoinTokens,
        options: CertOptions,
        join_address: Callable[[], str],
    ) -> None:
        self._authority = authority
        self._tokens = tokens
        self._options = options
        self._join_address = join_address

    async def RenewCertificate(
        self, request: RenewCertificateRequest, call: Call
    ) -> RenewCertificateResponse:
        """Certify a new key for who the caller is already."""
        chain = certify(
            self._authority, request.certificate_request, call.peer, self._options.certificate_life
        )
        return RenewCertificateResponse(chain=chain, roots=self._authority.certificate_pem)

    async def GetRootCertificate(
        self, request: GetRootCertificateRequest, call: Call
    ) -> GetRootCertificateResponse:
        """The CA."""
        return GetRootCertificateResponse(
            certificate=self._authority.certificate_pem.decode(), fingerprint=self._authority.fingerprint()
        )

    async def CreateJoinToken(self, request: CreateJoinTokenRequest, call: Call) -> CreateJoinTokenResponse:
        """A token for one process to join with, once."""
        address = self._join_address()
        if not address:
            raise NotSupportedError("join", "No port to join at is configured ([cert] join_listen).")
        if request.role not in EVERYBODY:
            raise InvalidArgumentError("role", f"{request.role!r} is none of {', '.join(sorted(EVERYBODY))}.")
        peer = Peer(self._authority.cluster, request.role, request.host)
        try:
            check_peer(peer)
        except ValueError as error:
            raise InvalidArgumentError("host", f"{error}.") from None
        life = self._options.join_token_life
        if request.HasField("life"):
            life = request.life.ToTimedelta().total_seconds()
        if not 0 < life <= _LONGEST_TOKEN:
            raise InvalidArgumentError("life", "A join token lives longer than 0 seconds, at most 7 days.")
        secret, kept = self._tokens.create(request.role, request.host, life)
        text = JoinTokenText(peer, address, self._authority.fingerprint(), secret)
        return CreateJoinTokenResponse(token=text.encode(), join_token=_message(kept))

    async def ListJoinTokens(self, request: ListJoinTokensRequest, call: Call) -> ListJoinTokensResponse:
        """The tokens that can still be used."""
        return ListJoinTokensResponse(join_tokens=[_message(kept) for kept in self._tokens.open()])

    async def DeleteJoinToken(self, request: DeleteJoinTokenRequest, call: Call) -> DeleteJoinTokenResponse:
        """Make a token useless."""
        self._tokens.delete(request.id)
        return DeleteJoinTokenResponse()


def _message(kept: KeptToken) -> JoinToken:
    message = JoinToken(id=kept.id, role=kept.role, host=kept.host)
    message.expires_at.FromDatetime(kept.end())
    return message
