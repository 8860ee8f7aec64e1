"""The cloud's own certificate authority: makes the CA and signs mesh certificates.

Here, and not in the cert role, because a node needs certificates before any
role runs. pyOpenSSL has handed issuance over to cryptography, whose builders
sign; pyOpenSSL still verifies chains.
"""

import ipaddress
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto

from services.mesh.certificates import Certificate, now, write_private, write_public
from services.mesh.identity import Peer, check_peer

CA_LIFE = timedelta(days=3650)
NODE_LIFE = timedelta(days=7)
# Clocks of two machines differ; a certificate is valid from a little before it was made.
CLOCK_SKEW = timedelta(minutes=5)

# Every machine's names for itself. The mesh dials roles by their own names; these
# are for people there with grpcurl.
_LOCAL_NAMES = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))

_CA_FILE = "ca.pem"
_CA_KEY_FILE = "ca-key.pem"


def new_key() -> ec.EllipticCurvePrivateKey:
    """A new P-256 key: small, fast to sign with, and known to every TLS library."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key as unencrypted PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def new_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate request (PEM) that proves possession of `key` and asks for no name: the CA sets those."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Authority:
    """A CA certificate and its key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key
        name = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        self.cluster = str(name[0].value) if name else ""
        self.certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def create(cls, cluster: str) -> "Authority":
        """Make a new CA for `cluster`; ValueError when the name can't stand in a certificate."""
        check_peer(Peer(cluster, "cert", "ca"))
        key = new_key()
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster),
                x509.NameAttribute(NameOID.COMMON_NAME, f"novamesh CA of {cluster}"),
            ]
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        start = now() - CLOCK_SKEW
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def read(cls, directory: Path) -> "Authority":
        """Read `ca.pem` and `ca-key.pem`; OSError or ValueError when they can't be used."""
        certificate = x509.load_pem_x509_certificate((directory / _CA_FILE).read_bytes())
        key = serialization.load_pem_private_key((directory / _CA_KEY_FILE).read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{directory / _CA_KEY_FILE} is not an elliptic-curve key")
        if key.public_key() != certificate.public_key():
            raise ValueError(f"{directory / _CA_KEY_FILE} is not the key of {directory / _CA_FILE}")
        return cls(certificate, key)

    @classmethod
    def read_or_create(cls, directory: Path, cluster: str) -> "Authority":
        """The CA that lies in `directory`, made now if there is none; ValueError if it isn't `cluster`'s."""
        if not (directory / _CA_FILE).exists():
            authority = cls.create(cluster)
            authority.write(directory)
            return authority
        authority = cls.read(directory)
        if authority.cluster != cluster:
            raise ValueError(f"{directory / _CA_FILE} is the CA of {authority.cluster}, not of {cluster}")
        return authority

    def write(self, directory: Path) -> None:
        """Write `ca.pem` and `ca-key.pem`, the key for the owner alone."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(directory / _CA_KEY_FILE, key_pem(self._key))
        write_public(directory / _CA_FILE, self.certificate_pem)

    def fingerprint(self) -> str:
        """SHA-256 of the CA certificate, in hexadecimal."""
        return self._certificate.fingerprint(hashes.SHA256()).hex()

    def sign(
        self,
        public_key: CertificatePublicKeyTypes,
        peer: Peer,
        life: timedelta = NODE_LIFE,
    ) -> bytes:
        """A chain (PEM: leaf, CA) that certifies `public_key` as `peer`; ValueError when `peer` can't be."""
        check_peer(peer)
        end = min(now() + life, self._certificate.not_valid_after_utc)
        san = x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier(peer.spiffe_id),
                x509.DNSName(peer.role_name),
                x509.DNSName(peer.host_name),
                *_LOCAL_NAMES,
            ]
        )
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now(), end) - CLOCK_SKEW)
            .not_valid_after(end)
            # The subject is empty, so RFC 5280 wants this one critical.
            .add_extension(san, critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return leaf.public_bytes(serialization.Encoding.PEM) + self.certificate_pem

    def sign_request(self, request_pem: bytes, peer: Peer, life: timedelta = NODE_LIFE) -> bytes:
        """`sign` for the key of a certificate request. Whatever names it asks for are ignored.

        Raises ValueError when the request can't be read or doesn't prove possession of its key.
        """
        request = x509.load_pem_x509_csr(request_pem)
        if not request.is_signature_valid:
            raise ValueError("the certificate request is not signed by its own key")
        return self.sign(request.public_key(), peer, life)

    def issue(self, peer: Peer, life: timedelta = NODE_LIFE) -> Certificate:
        """A new key and its certificate for `peer`."""
        key = new_key()
        chain = self.sign(key.public_key(), peer, life)
        return Certificate.parse(chain, key_pem(key), self.certificate_pem)

    def issued(self, certificate: Certificate) -> bool:
        """Whether this CA signed `certificate` and it is valid now."""
        store = crypto.X509Store()
        store.add_cert(crypto.X509.from_cryptography(self._certificate))
        leaf = crypto.X509.from_cryptography(x509.load_pem_x509_certificate(certificate.chain))
        try:
            crypto.X509StoreContext(store, leaf).verify_certificate()
        except crypto.X509StoreContextError:
            return False
        return True


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
