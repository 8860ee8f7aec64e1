"""Options of the embedded identity."""

from dataclasses import dataclass
from pathlib import Path

from novamesh.tokens import LONGEST_LIFE


@dataclass(frozen=True)
class EmbeddedOptions:
    """How the embedded identity hashes, signs and locks out. Names are Keystone's where it has them."""

    key_repository: Path = Path(".novamesh/signing-keys")
    """Directory of the private signing keys; made when it is missing, readable by its owner alone."""
    expiration: int = 3600
    """Seconds that a token lives, up to 7 days."""
    key_rotation: int = 7 * 86400
    """Seconds that a key signs before another takes over."""
    allow_rescope_scoped_token: bool = True
    """False when a token that has a project can't be turned into one for another."""
    lockout_failure_attempts: int = 0
    """Wrong passwords in a row after which a user is locked out; 0 for never."""
    lockout_duration: int = 1800
    """Seconds that a lock-out lasts."""
    max_password_length: int = 4096
    """Characters that a password may have."""
    hash_threads: int = 2
    """Passwords hashed at a time; each takes argon2_memory of memory while it lasts."""
    hash_queue: int = 200
    """Passwords that may wait for a thread; more are refused at once."""
    argon2_time_cost: int = 2
    """Passes over the memory."""
    argon2_memory: int = 19456
    """Memory of one hash in KiB."""

    def __post_init__(self) -> None:
        if not 1 <= self.expiration <= LONGEST_LIFE:
            raise ValueError(
                f"[token] expiration must be from 1 to {LONGEST_LIFE} seconds, not {self.expiration}"
            )
        if self.hash_threads < 1:
            raise ValueError(f"[identity] hash_threads must be 1 or more, not {self.hash_threads}")
