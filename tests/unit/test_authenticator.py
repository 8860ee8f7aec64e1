"""The gateway's own check of tokens, against real identities."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from drivers.identity import Validated
from drivers.identity.embedded import EmbeddedIdentity
from gateway.auth import Authenticator, AuthOptions
from novamesh.conductor.v1.revocation_service_pb2 import RecordRevocationRequest, WatchRevocationsRequest
from novamesh.errors.v1.errors_pb2 import Unavailable
from novamesh.failures import NotSupportedError, UnauthenticatedError, UnavailableError
from novamesh.identity.v1.credential_service_pb2 import SetPasswordRequest
from novamesh.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from novamesh.identity.v1.token_service_pb2 import IssueTokenRequest, PasswordMethod, RevokeTokenRequest
from novamesh.identity.v1.token_service_pb2_grpc import TokenServiceStub
from novamesh.types.v1.identity_pb2 import NamedEntity, Revocation, Token
from services.conductor.revocations import RevocationFeed, RevocationServicer
from services.identity import IdentityRole
from services.identity.options import IdentityOptions
from services.mesh import Call, Peer
from services.mesh.testing import LocalNode, local_node
from tests.identity_cloud import PASSWORDS, IdentityCloud, embedded_role, identity_cloud


@pytest.fixture(params=["memory", "wire"])
async def cloud(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[IdentityCloud]:
    async with identity_cloud(tmp_path, wire=request.param == "wire") as running:
        yield running


async def issue(node: LocalNode, user: str = "demo") -> str:
    method = PasswordMethod(user_name=user, domain_id="default", password=PASSWORDS[user])
    answer = await TokenServiceStub(node.channel("identity")).IssueToken(IssueTokenRequest(password=method))
    return answer.token


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def revocations(authenticator: Authenticator) -> int:
    return len(authenticator._revocations)


async def test_a_token_seen_before_is_answered_from_memory(cloud: IdentityCloud) -> None:
    token = await issue(cloud.node)
    first = await cloud.authenticator.authenticate(token)
    assert await cloud.authenticator.authenticate(token) is first
    assert first.project_name == "demo"


async def test_revocation_reaches_the_gateway_by_the_watch(cloud: IdentityCloud) -> None:
    token, other = await issue(cloud.node), await issue(cloud.node)
    await cloud.authenticator.authenticate(token)
    await TokenServiceStub(cloud.node.channel("identity")).RevokeToken(RevokeTokenRequest(token=token))
    await until(lambda: revocations(cloud.authenticator) == 1)
    with pytest.raises(UnauthenticatedError, match="revoked"):
        await cloud.authenticator.authenticate(token)
    await cloud.authenticator.authenticate(other)


async def test_identity_restarts_and_the_gateway_follows_again(tmp_path: Path) -> None:
    async with identity_cloud(tmp_path, wire=True) as cloud:
        old, kept = await issue(cloud.node), await issue(cloud.node)
        await cloud.authenticator.authenticate(old)
        serving = cloud.node._others[-1]
        assert serving.identity.role == "identity"
        address = serving._places[0].served.address
        await serving.stop()
        cloud.node._others.remove(serving)
        # Without identity, tokens that are known and tokens that are new are still recognised.
        await cloud.authenticator.authenticate(old)
        await cloud.authenticator.authenticate(kept)

        own = await embedded_role(cloud.node, cloud.options)
        del cloud.node.book["identity"]
        await cloud.node._others[-1].add(own, address)
        driver = own._driver
        assert isinstance(driver, EmbeddedIdentity)
        await driver.revoke(old)
        await until(lambda: revocations(cloud.authenticator) == 1)
        with pytest.raises(UnauthenticatedError):
            await cloud.authenticator.authenticate(old)
        await cloud.authenticator.authenticate(kept)


async def test_two_identities_with_keys_of_their_own(tmp_path: Path) -> None:
    async with identity_cloud(tmp_path, wire=True) as cloud:
        first = await issue(cloud.node)
        await cloud.authenticator.authenticate(first)
        elsewhere = type(cloud.options)(tmp_path / "other", argon2_time_cost=1, argon2_memory=8)
        role = await embedded_role(cloud.node, elsewhere)
        address = await cloud.node._others[-1].add(role, "127.0.0.1:0")
        stub = TokenServiceStub(cloud.node.channel_to(address, "identity"))
        method = PasswordMethod(user_name="demo", domain_id="default", password=PASSWORDS["demo"])
        second = (await stub.IssueToken(IssueTokenRequest(password=method))).token
        await cloud.authenticator.authenticate(second)
        assert (await cloud.driver.validate(second)).token.user.name == "demo"
        assert len(list((tmp_path / "other").iterdir())) == 1


async def test_keys_rotate_and_old_tokens_stay_good(tmp_path: Path) -> None:
    async with identity_cloud(tmp_path, key_rotation=0) as cloud:
        tokens = [await issue(cloud.node) for _ in range(3)]
        assert len({token.split(".")[0] for token in tokens}) == 3
        for token in tokens:
            await cloud.authenticator.authenticate(token)


async def test_a_password_set_by_an_administrator_ends_tokens(cloud: IdentityCloud) -> None:
    token = await issue(cloud.node)
    await cloud.authenticator.authenticate(token)
    request = SetPasswordRequest(user_id=cloud.seeded.users["demo"], password="another")
    await CredentialServiceStub(cloud.node.channel("identity")).SetPassword(request)
    await until(lambda: revocations(cloud.authenticator) == 1)
    with pytest.raises(UnauthenticatedError):
        await cloud.authenticator.authenticate(token)


async def test_it_remembers_no_more_than_it_may(cloud: IdentityCloud) -> None:
    small = Authenticator(cloud.node, AuthOptions(token_cache_size=2))
    await small.start()
    for _ in range(4):
        await small.authenticate(await issue(cloud.node))
    assert len(small._verified) == 2
    await small.stop()


async def test_without_identity_it_says_what_is_missing() -> None:
    async with local_node() as node:
        alone = Authenticator(node, AuthOptions(startup_timeout=0.05))
        with pytest.raises(UnavailableError, match="not started"):
            await alone.authenticate("token")
        await alone.start()
        with pytest.raises(UnavailableError, match="does not answer") as caught:
            await alone.authenticate("token")
        assert isinstance(caught.value.detail, Unavailable)
        assert caught.value.detail.part == "identity"
        await alone.stop()


class WordDriver:
    """An identity that only validates, as one in front of a Keystone."""

    name = "words"

    def __init__(self) -> None:
        self.asked = 0
        self.valid_for = 60.0

    async def start(self) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def validate(self, token: str) -> Validated:
        """Knows one token."""
        self.asked += 1
        await asyncio.sleep(0.01)
        if token != "word":
            raise UnauthenticatedError
        described = Token(audit_ids=["a"], user=NamedEntity(id="u1"), project=NamedEntity(id="p1"))
        described.expires_at.seconds = 4_000_000_000
        return Validated(described, self.valid_for)


async def test_tokens_from_elsewhere_are_validated_once_and_remembered() -> None:
    driver = WordDriver()
    async with local_node() as node:
        own = await node.peer("identity")
        await own.add(IdentityRole(own, IdentityOptions(), driver))
        gateway = Authenticator(node)
        await gateway.start()
        contexts = await asyncio.gather(*(gateway.authenticate("word", now=100.0) for _ in range(5)))
        assert {context.project_id for context in contexts} == {"p1"}
        assert driver.asked == 1
        await gateway.authenticate("word", now=159.0)
        assert driver.asked == 1
        await gateway.authenticate("word", now=161.0)
        assert driver.asked == 2
        with pytest.raises(UnauthenticatedError):
            await gateway.authenticate("other")
        with pytest.raises(NotSupportedError, match="words"):
            await TokenServiceStub(node.channel("identity")).RevokeToken(RevokeTokenRequest(token="word"))
        await gateway.stop()


async def test_what_another_conductor_wrote_is_found(cloud: IdentityCloud) -> None:
    writer = RevocationServicer(cloud.database, RevocationFeed())
    watcher = RevocationServicer(cloud.database, RevocationFeed(), look_again=0.01)
    call = Call(Peer("testcloud", "identity", "host1"))
    stream = watcher.WatchRevocations(WatchRevocationsRequest(), call)
    first = await anext(stream)
    assert (first.revision, list(first.revocations)) == (0, [])
    written = await writer.RecordRevocation(
        RecordRevocationRequest(revocation=Revocation(user_id="u9")), call
    )
    async with asyncio.timeout(20):
        second = await anext(stream)
    assert [r.revision for r in second.revocations] == [written.revocation.revision]
    again = watcher.WatchRevocations(WatchRevocationsRequest(after_revision=99), call)
    reset = await anext(again)
    assert reset.reset
    assert len(reset.revocations) == 1
