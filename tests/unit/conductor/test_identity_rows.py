"""Identity's records on each database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Connection

from db import (
    application_credentials,
    authentication,
    domains,
    projects,
    revocations,
    role_assignments,
    roles,
    users,
)
from db.connect import connect
from db.database import Database
from novamesh.conductor.v1.authentication_service_pb2 import AuthorizationScope, GetAuthenticationRequest
from novamesh.conductor.v1.project_service_pb2 import ListProjectsRequest
from novamesh.conductor.v1.role_service_pb2 import ListRoleAssignmentsRequest
from novamesh.failures import AlreadyExistsError, GenerationConflictError, InvalidArgumentError, NotFoundError
from novamesh.types.v1.identity_pb2 import (
    ApplicationCredential,
    Domain,
    NamedEntity,
    Project,
    Revocation,
    Role,
    SigningKey,
    User,
)
from tests.schema import make_schema


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    make_schema(url)
    database = connect(url)
    yield database
    await database.close()


def fill(c: Connection) -> None:
    """Domain d, project p, user u with the role member, which implies reader."""
    domains.create(c, Domain(id="d", name="D", enabled=True), "")
    projects.create(c, Project(id="p", name="P", domain_id="d", enabled=True, tags=["t"]), "")
    users.create(c, User(id="u", name="U", domain_id="d", enabled=True), "hash", "")
    for name in ("member", "reader"):
        roles.create(c, Role(id=name, name=name), "")
    roles.imply(c, "member", "reader")
    role_assignments.assign(c, "member", "u", "p", "")


def login(c: Connection) -> GetAuthenticationRequest:
    return GetAuthenticationRequest(
        user_name="U",
        user_domain_name="D",
        scope=AuthorizationScope(project_name="P", domain_id="d"),
    )


async def test_a_login_is_read_at_once(url: str) -> None:
    async with opened(url) as database:
        await database.write(fill)
        found = await database.read(lambda c: authentication.look_up(c, login(c)))
        assert (found.user.domain_name, found.project.name, found.authorized) == ("D", "P", True)
        assert [role.name for role in found.roles] == ["member", "reader"]
        assert found.password_hash == "hash"
        assert await database.write(lambda c: authentication.record_attempt(c, "u", False)) == 1
        found = await database.read(lambda c: authentication.look_up(c, login(c)))
        assert found.failed_attempts == 1
        assert found.HasField("last_failed_at")
        with pytest.raises(NotFoundError):
            nobody = GetAuthenticationRequest(user_name="u", user_domain_name="D")
            await database.read(lambda c: authentication.look_up(c, nobody))


async def test_names_are_unique_in_their_domain_and_keep_their_case(url: str) -> None:
    async with opened(url) as database:
        await database.write(fill)
        for wanted in ("P", " P "):
            with pytest.raises(AlreadyExistsError):
                await database.write(
                    lambda c, name=wanted: projects.create(c, Project(name=name, domain_id="d"), "")  # type: ignore[misc]
                )
        await database.write(lambda c: projects.create(c, Project(name="p", domain_id="d"), ""))
        with pytest.raises(NotFoundError):
            await database.write(lambda c: projects.create(c, Project(name="P", domain_id="none"), ""))
        found, more = await database.read(lambda c: projects.find(c, ListProjectsRequest(name="P")))
        assert ([project.id for project in found], more) == (["p"], False)


async def test_the_same_request_makes_one_record(url: str) -> None:
    async with opened(url) as database:
        await database.write(fill)
        wanted = Project(name="twice", domain_id="d")
        first = await database.write(lambda c: projects.create(c, wanted, "req-1"))
        assert await database.write(lambda c: projects.create(c, wanted, "req-1")) == first


async def test_generations_guard_writes(url: str) -> None:
    async with opened(url) as database:
        await database.write(fill)
        changed = await database.write(
            lambda c: projects.change(c, Project(id="p", generation=1, name="Q"), ["name"])
        )
        assert (changed.generation, changed.name, list(changed.tags)) == (2, "Q", ["t"])
        with pytest.raises(GenerationConflictError):
            await database.write(
                lambda c: projects.change(c, Project(id="p", generation=1, name="R"), ["name"])
            )
        with pytest.raises(InvalidArgumentError):
            await database.write(lambda c: projects.change(c, Project(id="p"), ["domain_id"]))


async def test_what_belongs_to_a_thing_goes_with_it(url: str) -> None:
    async with opened(url) as database:
        await database.write(fill)
        credential = ApplicationCredential(id="a", user_id="u", project_id="p", name="robot")
        await database.write(lambda c: application_credentials.create(c, credential, "hash", ""))
        await database.write(lambda c: domains.change(c, Domain(id="d", enabled=False), ["enabled"]))
        await database.write(lambda c: domains.remove(c, "d"))
        everything = ListRoleAssignmentsRequest()
        assert await database.read(lambda c: role_assignments.find(c, everything)) == []
        assert await database.read(lambda c: application_credentials.find(c, "u", "")) == []
        with pytest.raises(NotFoundError):
            await database.read(lambda c: users.get(c, "u"))


async def test_application_credentials_shrink_with_their_user(url: str) -> None:
    async with opened(url) as database:
        await database.write(fill)
        await database.write(lambda c: role_assignments.assign(c, "reader", "u", "p", ""))
        wanted = ApplicationCredential(
            id="a", user_id="u", project_id="p", name="robot", roles=[NamedEntity(id="member")]
        )
        await database.write(lambda c: application_credentials.create(c, wanted, "hash", ""))
        query = GetAuthenticationRequest(application_credential_id="a")
        found = await database.read(lambda c: authentication.look_up(c, query))
        assert (found.authorized, [role.id for role in found.roles]) == (True, ["member", "reader"])
        await database.write(lambda c: role_assignments.unassign(c, "member", "u", "p", ""))
        found = await database.read(lambda c: authentication.look_up(c, query))
        assert (found.authorized, list(found.roles)) == (False, [])


async def test_revisions_have_no_gaps_however_many_write(url: str) -> None:
    async with opened(url) as database:
        made = await asyncio.gather(
            *(
                database.write(lambda c, n=n: revocations.record(c, Revocation(user_id=f"u{n}")))  # type: ignore[misc]
                for n in range(20)
            )
        )
        assert sorted(revocation.revision for revocation in made) == list(range(1, 21))
        after = await database.read(lambda c: revocations.after(c, 15))
        assert [revocation.revision for revocation in after] == [16, 17, 18, 19, 20]
        assert await database.read(revocations.current) == 20


async def test_revocations_that_have_ended_are_forgotten(url: str) -> None:
    async with opened(url) as database:
        old = Revocation(user_id="u")
        old.expires_at.seconds = 1_000_000_000
        await database.write(lambda c: revocations.record(c, old))
        assert await database.read(lambda c: revocations.after(c, 0)) == []
        await database.write(lambda c: revocations.record(c, Revocation(user_id="v")))
        assert [r.user_id for r in await database.read(lambda c: revocations.after(c, 0))] == ["v"]
        with pytest.raises(InvalidArgumentError):
            await database.write(lambda c: revocations.record(c, Revocation()))


async def test_signing_keys(url: str) -> None:
    async with opened(url) as database:
        key = SigningKey(id="k", public_key=bytes(range(32)))
        key.created_at.seconds, key.expires_at.seconds = 1_800_000_000, 4_000_000_000
        for _ in range(2):
            await database.write(lambda c: authentication.publish_key(c, key))
        assert await database.read(authentication.list_keys) == [key]
        other = SigningKey(id="k", public_key=bytes(32))
        with pytest.raises(InvalidArgumentError):
            await database.write(lambda c: authentication.publish_key(c, other))


async def test_roles_imply_no_circles(url: str) -> None:
    async with opened(url) as database:
        await database.write(fill)
        with pytest.raises(InvalidArgumentError):
            await database.write(lambda c: roles.imply(c, "reader", "member"))
        with pytest.raises(InvalidArgumentError):
            await database.write(lambda c: roles.imply(c, "reader", "reader"))
        query = ListRoleAssignmentsRequest(effective=True)
        found = await database.read(lambda c: role_assignments.find(c, query))
        assert [(a.role.name, a.prior_role_id) for a in found] == [("member", ""), ("reader", "member")]
