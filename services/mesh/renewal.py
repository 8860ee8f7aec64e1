"""Renewing a node's certificate by the cert role, before it ends."""

from dataclasses import dataclass
from pathlib import Path

from novamesh.cert.v1.certificate_service_pb2 import RenewCertificateRequest
from novamesh.cert.v1.certificate_service_pb2_grpc import CertificateServiceStub
from services.mesh.authority import key_pem, new_key, new_request
from services.mesh.certificates import Certificate
from services.mesh.node import Node


@dataclass(frozen=True)
class RenewByCert:
    """A `Renewer`: a new key, certified by the cert role, kept as `<name>.pem` where a directory is given."""

    directory: Path | None = None
    name: str = ""

    async def __call__(self, node: Node) -> Certificate:
        """Get the next certificate. Raises a Failure of the cert role, or OSError for the disk."""
        key = new_key()
        stub = CertificateServiceStub(node.channel("cert"))
        request = RenewCertificateRequest(certificate_request=new_request(key))
        answer = await stub.RenewCertificate(request, timeout=10)
        certificate = Certificate.parse(answer.chain, key_pem(key), answer.roots)
        if self.directory is not None:
            certificate.write(self.directory, self.name)
        return certificate
