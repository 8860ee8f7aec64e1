"""Public keys and certificates: their fingerprints, and pairs made for users whose microversion still has
that."""

import asyncio
import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_BITS = 2048
_CERTIFICATE_DAYS = 3650
# The name by which Windows recognises the holder of a client certificate: a user principal name, in DER.
_PRINCIPAL = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_DER_UTF8 = 0x0C


@dataclass(frozen=True)
class MadePair:
    """A new key pair. The private half goes to its user once, and is kept nowhere."""

    private_key: str
    public_key: str
    fingerprint: str


def ssh_fingerprint(public_key: str) -> str:
    """MD5 of the key as pairs of hexadecimal digits, as ssh-keygen -E md5 prints it. Raises ValueError."""
    parts = public_key.split()
    if len(parts) < 2:
        raise ValueError("Keypair data is invalid: failed to generate fingerprint")
    try:
        data = base64.b64decode(parts[1], validate=True)
        serialization.load_ssh_public_key(f"{parts[0]} {parts[1]}".encode())
    except (binascii.Error, ValueError, UnsupportedAlgorithm, UnicodeEncodeError):
        raise ValueError("Keypair data is invalid: failed to generate fingerprint") from None
    # MD5 because that is what has been shown and compared since 2010; nothing rests on it.
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def x509_fingerprint(certificate: str) -> str:
    """SHA-1 of a certificate in PEM, in the same form. Raises ValueError."""
    try:
        parsed = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        raise ValueError("Keypair data is invalid: failed to generate X509 fingerprint") from None
    digest = parsed.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - a name, not a proof
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


async def make_pair() -> MadePair:
    """An RSA key pair of 2048 bits. Takes some 100 ms of processor time, in a thread."""
    return await asyncio.to_thread(_make_pair)


async def make_certificate(user_id: str) -> MadePair:
    """A certificate with which a user logs in to a Windows guest, in PEM, and its key as PKCS #12 in base64
    without a password. As dear as `make_pair`."""
    return await asyncio.to_thread(_make_certificate, user_id)


def _make_certificate(user_id: str) -> MadePair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    # A common name has 64 characters at most.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64] or "user")])
    # Short enough for a length of one byte.
    principal = user_id.encode("ascii", "replace")[:64] + b"@localhost"
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.OtherName(_PRINCIPAL, bytes((_DER_UTF8, len(principal))) + principal)]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    bundle = pkcs12.serialize_key_and_certificates(None, key, certificate, None, serialization.NoEncryption())
    public = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return MadePair(base64.b64encode(bundle).decode(), public, x509_fingerprint(public))


def _make_pair() -> MadePair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    public = (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
        + " Generated-by-Nova"
    )
    return MadePair(private, public, ssh_fingerprint(public))
