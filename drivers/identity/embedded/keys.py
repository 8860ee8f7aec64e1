"""The private signing keys: one file each, in a directory that only this identity reads.

Identities on several hosts have each its own directory. They publish the public halves through
the conductor, so that each accepts what the others signed, and no private key ever travels.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from novamesh.failures import UnavailableError
from novamesh.tokens import LONGEST_LIFE
from novamesh.types.v1.identity_pb2 import SigningKey

# A key goes on signing a little after its time, until its successor is published.
_SLACK = 86400


@dataclass(frozen=True)
class PrivateKey:
    """A signing key of this identity; `created_at` in seconds since 1970."""

    id: str
    created_at: int
    private: Ed25519PrivateKey

    def public(self, rotation: int) -> SigningKey:
        """The half that others may have."""
        raw = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        key = SigningKey(id=self.id, public_key=raw)
        key.created_at.seconds = self.created_at
        key.expires_at.seconds = self.created_at + rotation + LONGEST_LIFE + _SLACK
        return key


class KeyDirectory:
    """Keys in `<seconds since 1970>-<id>.pem`, the newest of which signs."""

    def __init__(self, directory: Path, rotation: int) -> None:
        self._directory = directory
        self._rotation = rotation

    def load(self) -> list[PrivateKey]:
        """All keys, oldest first. Raises UnavailableError naming a file that can't be read."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return sorted(
                (self._read(path) for path in self._directory.glob("*-*.pem")), key=lambda key: key.created_at
            )
        except OSError as error:
            raise UnavailableError("signing_keys", f"{self._directory} can't be used: {error}.") from error

    def create(self, now: float) -> PrivateKey:
        """Make a key; it is on the disk when this returns."""
        private = Ed25519PrivateKey.generate()
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        key = PrivateKey(hashlib.sha256(raw).hexdigest()[:16], int(now), private)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = self._directory / f"{key.created_at}-{key.id}.pem"
        unfinished = path.with_suffix(".new")
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        return key

    def is_due(self, key: PrivateKey, now: float) -> bool:
        """True when the key has signed long enough."""
        return now >= key.created_at + self._rotation

    def discard_ended(self, keys: list[PrivateKey], now: float) -> list[PrivateKey]:
        """Remove the files of keys whose tokens have all ended; gives the rest back."""
        kept = []
        for key in keys:
            if key.public(self._rotation).expires_at.seconds > now:
                kept.append(key)
            else:
                (self._directory / f"{key.created_at}-{key.id}.pem").unlink(missing_ok=True)
        return kept

    def _read(self, path: Path) -> PrivateKey:
        created_at, _, key_id = path.stem.partition("-")
        try:
            private = load_pem_private_key(path.read_bytes(), password=None)
            if not isinstance(private, Ed25519PrivateKey):
                raise ValueError("it is not an Ed25519 key")
            return PrivateKey(key_id, int(created_at), private)
        except ValueError as error:
            raise UnavailableError("signing_keys", f"{path} is not a signing key: {error}.") from error
