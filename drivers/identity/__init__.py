"""Where users and tokens come from.

An identity driver tells the identity role who a token belongs to. That is all that a cloud
needs, and all that `IdentityDriver` asks: `start`, `stop` and `validate`. A driver in front of an
identity service that is somewhere else (a Keystone) has nothing more.

A driver that keeps users by itself has two more abilities, each a Protocol of its own that the role finds
by isinstance. What a driver lacks, the role answers with NotSupportedError:

- `IssuesTokens`: it gives and revokes tokens, and anybody who has its public keys and its list
  of revocations can check one. `issue` decides a login; every way to fail is the same
  UnauthenticatedError to the caller, so that nobody learns which users exist. `watch` yields at
  once what the caller missed, then each new batch, until the caller goes away.
- `HashesSecrets`: it turns passwords and secrets into what is kept, off the event loop.

A boot's first steps, as an example: `openstack` posts a password; the gateway calls identity's
IssueToken; the role calls `issue`, which reads the user by way of the conductor, checks the hash and signs.
The client then sends that token to the compute gateway, which checks it by itself with the keys of
`signing_keys` and the revocations of `watch`, or, where the driver can't do that, by `validate`.

Tokens, passwords and secrets never reach a log, nor the text of a failure.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from novamesh.identity.v1.token_service_pb2 import IssueTokenRequest, WatchRevocationsResponse
from novamesh.types.v1.identity_pb2 import Revocation, SigningKey, Token


@dataclass(frozen=True)
class Validated:
    """What a token is good for, and for how many seconds that answer may be kept."""

    token: Token
    valid_for: float


@dataclass(frozen=True)
class Issued:
    """A new token: what to send, and what it says."""

    token: str
    description: Token


class IdentityDriver(Protocol):
    """Knows who a token belongs to."""

    name: str

    async def start(self) -> None:
        """Get ready. Raises UnavailableError only for what waiting won't mend."""

    async def stop(self) -> None:
        """Let go of connections and threads."""

    async def validate(self, token: str) -> Validated:
        """What the token is good for.

        Raises UnauthenticatedError (unknown, ended, revoked) and UnavailableError (no answer in time).
        """
        ...


@runtime_checkable
class IssuesTokens(Protocol):
    """Gives tokens that others can check without asking."""

    async def issue(self, request: IssueTokenRequest) -> Issued:
        """Recognise the user and give a token for the scope.

        Raises UnauthenticatedError, InvalidArgumentError (a field is missing), ResourceExhaustedError
        (too many logins at once) and UnavailableError.
        """
        ...

    async def revoke(self, token: str) -> Revocation:
        """End a token. Raises UnauthenticatedError when it is none, or has ended already."""
        ...

    async def signing_keys(self) -> Sequence[SigningKey]:
        """All keys that may have signed a token which is still good."""
        ...

    def watch(self, after_revision: int) -> AsyncIterator[WatchRevocationsResponse]:
        """The revocations in force after a revision, then each new batch."""
        ...


@runtime_checkable
class HashesSecrets(Protocol):
    """Turns secrets into what may be kept."""

    async def hash(self, secret: str) -> str:
        """Hash a secret.

        Raises InvalidArgumentError (empty or too long) and ResourceExhaustedError (too many at once).
        """
        ...

    async def check_password(self, user_id: str, password: str) -> None:
        """Raise UnauthenticatedError unless the user may log in with this password; counts the attempt."""
