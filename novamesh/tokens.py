"""The form of novamesh's own tokens, and how to check one without asking anybody.

A token is a JSON Web Token signed with Ed25519 (`alg` EdDSA, `kid` a signing key of
novamesh.types.v1.SigningKey). Its claims hold all that a novamesh.types.v1.Token does, names and roles
included, so that whoever has the public keys and the list of revocations can check
it: identity writes tokens, identity and every gateway read them.

Claims: `iss` (always `novamesh`), `sub` (user id), `jti` (audit id), `iat`, `exp` (seconds), and of our own
`ius` (microseconds of issue: revocations need more than seconds), `usr` [name, domain id, domain name],
`prj` [id, name, domain id, domain name], `dom` [id, name], `rls` [[id, name] ...], `mth` (methods),
`chn` (audit id of the login), `app` [id, name, unrestricted].
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from novamesh.failures import UnauthenticatedError
from novamesh.types.v1.identity_pb2 import ApplicationCredential, NamedEntity, Revocation, SigningKey, Token

ISSUER = "novamesh"
ALGORITHM = "EdDSA"
# Seconds that a token may live at most. Records about tokens are kept for this long.
LONGEST_LIFE = 7 * 86400
# Checked here rather than by PyJWT: `exp` against the caller's clock, and the rest by construction.
_OPTIONS: dict[str, Any] = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_aud": False,
    "require": ["sub", "jti", "exp"],
}


class UnknownSigningKeyError(UnauthenticatedError):
    """The token names a key that isn't known here; it may be a new one."""


def encode(token: Token, key_id: str, key: Ed25519PrivateKey) -> str:
    """Sign what `token` says."""
    issued = token.issued_at.ToMicroseconds()
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "sub": token.user.id,
        "jti": token.audit_ids[0],
        "iat": issued // 1_000_000,
        "ius": issued,
        "exp": token.expires_at.seconds,
        "usr": [token.user.name, token.user.domain_id, token.user.domain_name],
        "mth": list(token.methods),
    }
    if len(token.audit_ids) > 1:
        claims["chn"] = token.audit_ids[1]
    if token.HasField("project"):
        project = token.project
        claims["prj"] = [project.id, project.name, project.domain_id, project.domain_name]
    if token.HasField("domain"):
        claims["dom"] = [token.domain.id, token.domain.name]
    if token.roles:
        claims["rls"] = [[role.id, role.name] for role in token.roles]
    if token.HasField("application_credential"):
        credential = token.application_credential
        claims["app"] = [credential.id, credential.name, credential.unrestricted]
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": key_id})


def _described(claims: Mapping[str, Any]) -> Token:
    user_name, user_domain_id, user_domain_name = claims["usr"]
    token = Token(
        audit_ids=[claims["jti"], claims["chn"]] if "chn" in claims else [claims["jti"]],
        methods=claims["mth"],
        user=NamedEntity(
            id=claims["sub"], name=user_name, domain_id=user_domain_id, domain_name=user_domain_name
        ),
        roles=[NamedEntity(id=role_id, name=name) for role_id, name in claims.get("rls", ())],
    )
    token.issued_at.FromMicroseconds(claims["ius"])
    token.expires_at.seconds = claims["exp"]
    if "prj" in claims:
        project_id, name, domain_id, domain_name = claims["prj"]
        token.project.CopyFrom(
            NamedEntity(id=project_id, name=name, domain_id=domain_id, domain_name=domain_name)
        )
    if "dom" in claims:
        domain_id, name = claims["dom"]
        token.domain.CopyFrom(NamedEntity(id=domain_id, name=name))
    if "app" in claims:
        credential_id, name, unrestricted = claims["app"]
        token.application_credential.CopyFrom(
            ApplicationCredential(id=credential_id, name=name, unrestricted=unrestricted)
        )
    return token


class TokenVerifier:
    """Reads tokens by the public keys that it was given."""

    def __init__(self) -> None:
        self._keys: dict[str, Ed25519PublicKey] = {}

    def set_keys(self, keys: Iterable[SigningKey]) -> None:
        """Put these keys in place of those before."""
        self._keys = {key.id: Ed25519PublicKey.from_public_bytes(key.public_key) for key in keys}

    def read(self, token: str, now: float) -> Token:
        """What the token says, its signature and end checked; `now` in seconds since 1970.

        Raises UnknownSigningKeyError, and UnauthenticatedError for one that is malformed, forged or ended.
        """
        try:
            key_id = jwt.get_unverified_header(token).get("kid", "")
            key = self._keys.get(key_id)
            if key is None:
                raise UnknownSigningKeyError("The token was not issued by this cloud.")
            claims = jwt.decode(token, key, algorithms=[ALGORITHM], issuer=ISSUER, options=_OPTIONS)  # type: ignore[arg-type]
            described = _described(claims)
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError) as error:
            raise UnauthenticatedError("The token was not issued by this cloud.") from error
        if claims["exp"] <= now:
            raise UnauthenticatedError("The token has expired.")
        return described


class RevocationList:
    """The revocations in force, ready to be asked about a token."""

    def __init__(self) -> None:
        # The last revision applied, to resume a watch from.
        self.revision = 0
        # Changes whenever an answer given before might be another now.
        self.version = 0
        self._by_value: dict[str, list[Revocation]] = {}

    def apply(self, revocations: Iterable[Revocation], revision: int = 0, reset: bool = False) -> None:
        """Take in a batch of a watch, which brought the list to `revision`; with `reset`, forget the rest."""
        if reset:
            self._by_value.clear()
            self.revision = 0
            self.version += 1
        for revocation in revocations:
            value = self._index_value(revocation)
            if not value:
                continue
            known = self._by_value.setdefault(value, [])
            if not any(self._same(revocation, other) for other in known):
                known.append(revocation)
                self.version += 1
        self.revision = max(self.revision, revision)

    def prune(self, now: float) -> None:
        """Forget what can match nothing any more; `now` in seconds since 1970."""
        kept = {
            value: [r for r in revocations if r.expires_at.seconds > now]
            for value, revocations in self._by_value.items()
        }
        self._by_value = {value: revocations for value, revocations in kept.items() if revocations}

    def __len__(self) -> int:
        return sum(map(len, self._by_value.values()))

    def revokes(self, token: Token) -> bool:
        """True when the token was revoked."""
        if not self._by_value:
            return False
        roles = {role.id for role in token.roles}
        domains = {token.user.domain_id, token.project.domain_id, token.domain.id}
        values = {*token.audit_ids, token.application_credential.id, token.user.id, token.project.id}
        issued = token.issued_at.ToMicroseconds()
        for value in values | roles | domains:
            for r in self._by_value.get(value, ()):
                if (
                    r.issued_before.ToMicroseconds() >= issued
                    and r.audit_id in ("", token.audit_ids[0])
                    and r.audit_chain_id in ("", token.audit_ids[-1])
                    and r.application_credential_id in ("", token.application_credential.id)
                    and r.user_id in ("", token.user.id)
                    and r.project_id in ("", token.project.id)
                    and (not r.role_id or r.role_id in roles)
                    and (not r.domain_id or r.domain_id in domains)
                ):
                    return True
        return False

    @staticmethod
    def _index_value(r: Revocation) -> str:
        # The rarest first, so that the lists stay short.
        return (
            r.audit_id
            or r.audit_chain_id
            or r.application_credential_id
            or r.user_id
            or r.project_id
            or r.role_id
            or r.domain_id
        )

    @staticmethod
    def _same(one: Revocation, other: Revocation) -> bool:
        return one.revision == other.revision if one.revision and other.revision else one == other
