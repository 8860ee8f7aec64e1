"""Join tokens: short-lived, used once, kept as hashes."""

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from novamesh.failures import NotFoundError, UnauthenticatedError
from services.mesh.certificates import write_private


@dataclass(frozen=True)
class KeptToken:
    """What is kept of a token. `expires_at` is in seconds since the epoch."""

    digest: str
    role: str
    host: str
    expires_at: float

    @property
    def id(self) -> str:
        """The public name of the token."""
        return self.digest[:32]

    def end(self) -> datetime:
        """When it ends, in UTC."""
        return datetime.fromtimestamp(self.expires_at, UTC)


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


class JoinTokens:
    """The open tokens, in one file that is rewritten at each change; there are never many.

    One cert role owns the file. The secrets are random, so that a plain hash of
    one says nothing, and are found by their hash, so that timing says nothing.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        kept = json.loads(path.read_text()) if path.exists() else []
        self._tokens = {item["digest"]: KeptToken(**item) for item in kept}

    def create(self, role: str, host: str, life: float) -> tuple[str, KeptToken]:
        """A new secret, and what is kept of it. `life` is in seconds."""
        secret = secrets.token_urlsafe(32)
        token = KeptToken(_digest(secret), role, host, self._clock() + life)
        self._tokens[token.digest] = token
        self._save()
        return secret, token

    def use(self, secret: str) -> KeptToken:
        """Use a token up. Raises UnauthenticatedError when it is unknown, used or ended."""
        token = self._tokens.pop(_digest(secret), None)
        if token is None:
            raise UnauthenticatedError("The join token is unknown or was used already.")
        # Gone from the disk before anything is issued for it, so that a crash can't let it be used twice.
        self._save()
        if token.expires_at < self._clock():
            raise UnauthenticatedError("The join token has ended; make another with `novamesh host token`.")
        return token

    def open(self) -> list[KeptToken]:
        """The tokens that can still be used, in the order in which they end."""
        now = self._clock()
        alive = (token for token in self._tokens.values() if token.expires_at >= now)
        return sorted(alive, key=lambda token: token.expires_at)

    def delete(self, token_id: str) -> None:
        """Make a token useless. Raises NotFoundError."""
        for token in self.open():
            if token.id == token_id:
                del self._tokens[token.digest]
                self._save()
                return
        raise NotFoundError("join token", token_id)

    def _save(self) -> None:
        write_private(self._path, json.dumps([asdict(token) for token in self.open()]).encode())
