"""The cert role: what it serves, and where."""

import time
from collections.abc import Sequence

from novamesh.cert.v1 import certificate_service_pb2, join_service_pb2, user_certificate_service_pb2
from novamesh.cert.v1.join_service_pb2 import IssueCertificateRequest, IssueCertificateResponse
from services.cert.certificates import CertificateServicer, certify
from services.cert.options import CertOptions
from services.cert.tokens import JoinTokens
from services.mesh import Binding, Call, Node, Peer, unserved
from services.mesh.authority import Authority


class JoinServicer:
    """Certifies those who show a join token."""

    def __init__(self, authority: Authority, tokens: JoinTokens, options: CertOptions) -> None:
        self._authority = authority
        self._tokens = tokens
        self._life = options.certificate_life

    async def IssueCertificate(
        self, request: IssueCertificateRequest, call: Call
    ) -> IssueCertificateResponse:
        """Use the token up and certify the key, as the token says."""
        token = self._tokens.use(request.secret)
        peer = Peer(self._authority.cluster, token.role, token.host)
        chain = certify(self._authority, request.certificate_request, peer, self._life)
        return IssueCertificateResponse(chain=chain, roots=self._authority.certificate_pem)


class CertRole:
    """The certificate authority, served.

    Raises OSError or ValueError when the CA in `options.ca_path` can't be used;
    `provision` makes one.
    """

    name = "cert"

    def __init__(self, node: Node, options: CertOptions) -> None:
        self._node = node
        self._options = options
        self._authority = Authority.read(options.ca_path)
        if self._authority.cluster != node.identity.cluster:
            raise ValueError(f"{options.ca_path} holds the CA of another cluster, {self._authority.cluster}")
        self._tokens = JoinTokens(options.ca_path / "join-tokens.json", time.time)
        self.join_address = options.join_address or options.join_listen

    def bindings(self) -> Sequence[Binding]:
        """The services behind mutual TLS; joining has a port of its own."""
        certificates = CertificateServicer(
            self._authority, self._tokens, self._options, lambda: self.join_address
        )
        return [
            Binding(certificate_service_pb2.DESCRIPTOR.services_by_name["CertificateService"], certificates),
            unserved(user_certificate_service_pb2.DESCRIPTOR.services_by_name["UserCertificateService"]),
        ]

    async def start(self) -> None:
        """Open the join port, where one is configured."""
        if not self._options.join_listen:
            return
        service = join_service_pb2.DESCRIPTOR.services_by_name["JoinService"]
        servicer = JoinServicer(self._authority, self._tokens, self._options)
        bound = await self._node.add_open([Binding(service, servicer)], self._options.join_listen)
        # With port 0 the token must name the port that was found.
        self.join_address = self._options.join_address or bound

    async def stop(self) -> None:
        """The node closes the join port."""
