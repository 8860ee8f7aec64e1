"""The form of tokens, and the list of revocations."""

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from novamesh.failures import UnauthenticatedError
from novamesh.tokens import RevocationList, TokenVerifier, UnknownSigningKeyError, encode
from novamesh.types.v1.identity_pb2 import (
    ApplicationCredential,
    NamedEntity,
    Revocation,
    SigningKey,
    Token,
)

KEY = Ed25519PrivateKey.generate()
ISSUED = 1_800_000_000


def make_token(**changes: object) -> Token:
    token = Token(
        audit_ids=["a1", "chain"],
        methods=["password", "token"],
        user=NamedEntity(id="u1", name="demo", domain_id="d1", domain_name="Default"),
        project=NamedEntity(id="p1", name="demo", domain_id="d2", domain_name="Other"),
        roles=[NamedEntity(id="r1", name="member"), NamedEntity(id="r2", name="reader")],
        application_credential=ApplicationCredential(id="c1", name="robot", unrestricted=True),
    )
    token.issued_at.FromMicroseconds(ISSUED * 1_000_000 + 123_456)
    token.expires_at.seconds = ISSUED + 3600
    for name, value in changes.items():
        getattr(token, name).CopyFrom(value)
    return token


def verifier(*key_ids: str) -> TokenVerifier:
    public = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    found = TokenVerifier()
    found.set_keys([SigningKey(id=key_id, public_key=public) for key_id in key_ids])
    return found


def test_a_token_says_what_was_signed() -> None:
    token = make_token()
    assert verifier("k").read(encode(token, "k", KEY), ISSUED) == token


@given(st.text(max_size=50), st.text(min_size=1, max_size=50))
def test_names_of_any_letters(user: str, project: str) -> None:
    token = make_token(user=NamedEntity(id="u", name=user), project=NamedEntity(id="p", name=project))
    assert verifier("k").read(encode(token, "k", KEY), ISSUED) == token


def test_it_ends() -> None:
    text = encode(make_token(), "k", KEY)
    verifier("k").read(text, ISSUED + 3599)
    with pytest.raises(UnauthenticatedError, match="expired"):
        verifier("k").read(text, ISSUED + 3600)


def test_an_unknown_key_is_told_apart() -> None:
    with pytest.raises(UnknownSigningKeyError):
        verifier("other").read(encode(make_token(), "k", KEY), ISSUED)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_other_algorithms_are_refused(algorithm: str) -> None:
    claims = jwt.decode(encode(make_token(), "k", KEY), options={"verify_signature": False})
    public = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    secret = "" if algorithm == "none" else public.hex()
    forged = jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": "k"})
    with pytest.raises(UnauthenticatedError):
        verifier("k").read(forged, ISSUED)


@pytest.mark.parametrize("missing", ["sub", "jti", "exp", "usr", "ius", "mth", "iss"])
def test_a_signed_token_without_a_claim_is_refused(missing: str) -> None:
    claims = jwt.decode(encode(make_token(), "k", KEY), options={"verify_signature": False})
    del claims[missing]
    with pytest.raises(UnauthenticatedError):
        verifier("k").read(jwt.encode(claims, KEY, algorithm="EdDSA", headers={"kid": "k"}), ISSUED)


@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(UnauthenticatedError):
        verifier("k").read(garbage.decode("latin-1"), ISSUED)


def revocation(what: dict[str, str], revision: int = 1, microseconds: int = 123_456) -> Revocation:
    made = Revocation(revision=revision)
    for name, value in what.items():
        setattr(made, name, value)
    made.issued_before.FromMicroseconds(ISSUED * 1_000_000 + microseconds)
    made.expires_at.seconds = ISSUED + 7200
    return made


@pytest.mark.parametrize(
    "what",
    [
        {"audit_id": "a1"},
        {"audit_chain_id": "chain"},
        {"user_id": "u1"},
        {"project_id": "p1"},
        {"domain_id": "d1"},
        {"domain_id": "d2"},
        {"role_id": "r2"},
        {"application_credential_id": "c1"},
        {"user_id": "u1", "project_id": "p1"},
    ],
)
def test_what_revokes(what: dict[str, str]) -> None:
    found = RevocationList()
    found.apply([revocation(what)])
    assert found.revokes(make_token())


@pytest.mark.parametrize(
    "what",
    [
        {"audit_id": "chain"},
        {"user_id": "u2"},
        {"user_id": "u1", "project_id": "p2"},
        {"user_id": "u2", "project_id": "p1"},
        {"domain_id": "p1"},
        {"role_id": "r3"},
        {},
    ],
)
def test_what_does_not(what: dict[str, str]) -> None:
    found = RevocationList()
    found.apply([revocation(what)])
    assert not found.revokes(make_token())


def test_tokens_issued_later_are_good() -> None:
    found = RevocationList()
    found.apply([revocation({"user_id": "u1"}, microseconds=123_455)])
    assert not found.revokes(make_token())


def test_a_revocation_is_applied_once_and_resumes_a_watch() -> None:
    found = RevocationList()
    found.apply([revocation({"user_id": "u1"}, 7)])
    assert (found.revision, len(found)) == (0, 1)
    version = found.version
    found.apply([revocation({"user_id": "u1"}, 7)], 7)
    assert (found.revision, len(found), found.version) == (7, 1, version)
    found.apply([revocation({"user_id": "u2"}, 1)], 1, reset=True)
    assert (found.revision, len(found)) == (1, 1)
    assert found.version > version


def test_what_has_ended_is_forgotten() -> None:
    found = RevocationList()
    found.apply([revocation({"user_id": "u1"})])
    found.prune(ISSUED)
    assert len(found) == 1
    found.prune(ISSUED + 7200)
    assert len(found) == 0


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "audit_id": st.sampled_from(["a1", "a2"]),
                "user_id": st.sampled_from(["u1", "u2"]),
                "project_id": st.sampled_from(["p1", "p2"]),
                "domain_id": st.sampled_from(["d1", "d2", "d3"]),
                "role_id": st.sampled_from(["r1", "r3"]),
            },
        ),
        max_size=6,
    )
)
def test_the_index_agrees_with_the_definition(wanted: list[dict[str, str]]) -> None:
    token = make_token()
    own = {
        "audit_id": {"a1"},
        "user_id": {"u1"},
        "project_id": {"p1"},
        "domain_id": {"d1", "d2"},
        "role_id": {"r1", "r2"},
    }
    found = RevocationList()
    found.apply([revocation(what, number) for number, what in enumerate(wanted, 1)])
    expected = any(what and all(value in own[name] for name, value in what.items()) for what in wanted)
    assert found.revokes(token) == expected


def test_clocks_that_disagree() -> None:
    """Whoever wrote it may be ahead, which is not held against it; behind is as good as ended."""
    text = encode(make_token(), "k", KEY)
    assert verifier("k").read(text, ISSUED - 300).user.id == "u1"
    with pytest.raises(UnauthenticatedError, match="expired"):
        verifier("k").read(text, ISSUED + 3600 + 300)
