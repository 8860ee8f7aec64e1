"""Joining a cloud: what a token says, and how a new host uses it."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field

from novamesh.cert.v1.join_service_pb2 import IssueCertificateRequest
from novamesh.cert.v1.join_service_pb2_grpc import JoinServiceStub
from novamesh.failures import InvalidArgumentError
from services.mesh import Certificate, Peer
from services.mesh.authority import key_pem, new_key, new_request
from services.mesh.bootstrap import fetch_root, stranger_channel
from services.mesh.identity import check_peer

_PREFIX = "nmj1."


@dataclass(frozen=True)
class JoinTokenText:
    """A join token, as it is handed to the new host."""

    peer: Peer
    # host:port of the cert role's join port.
    address: str
    # SHA-256 of the CA's certificate, in hexadecimal.
    fingerprint: str
    secret: str = field(repr=False)

    def encode(self) -> str:
        """One line of letters, digits, hyphens and underscores."""
        parts = [self.peer.cluster, self.peer.role, self.peer.host]
        content = json.dumps([*parts, self.address, self.fingerprint, self.secret], separators=(",", ":"))
        return _PREFIX + urlsafe_b64encode(content.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "JoinTokenText":
        """Read a token. Raises InvalidArgumentError when it isn't one."""
        body = text.strip().removeprefix(_PREFIX)
        try:
            if not text.strip().startswith(_PREFIX):
                raise ValueError("a join token begins with " + _PREFIX)
            padded = body + "=" * (-len(body) % 4)
            cluster, role, host, address, fingerprint, secret = json.loads(urlsafe_b64decode(padded))
            return cls(check_peer(Peer(cluster, role, host)), address, fingerprint, secret)
        except (ValueError, TypeError) as error:
            raise InvalidArgumentError(
                "token", f"This is not a join token, or not all of it: {error}"
            ) from None


async def join(token: str) -> Certificate:
    """Use a join token up: the certificate and key that make this process part of the cloud.

    The server proves itself by the CA's fingerprint before the secret is told.
    Raises InvalidArgumentError (not a token), UnauthenticatedError (used, ended, or the wrong server) and
    UnavailableError.
    """
    said = JoinTokenText.parse(token)
    roots = await fetch_root(said.address, said.fingerprint)
    key = new_key()
    cert = Peer(said.peer.cluster, "cert", "")
    async with stranger_channel(said.address, cert, roots) as channel:
        request = IssueCertificateRequest(secret=said.secret, certificate_request=new_request(key))
        answer = await JoinServiceStub(channel).IssueCertificate(request, timeout=20)
    return Certificate.parse(answer.chain, key_pem(key), roots)
