"""/v3/auth/tokens over real servicers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from novamesh.failures import UnauthenticatedError
from tests.identity_cloud import PASSWORDS, Api, identity_api, refused


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with identity_api(tmp_path) as running:
        yield running


async def test_password_login_gives_scope_roles_and_catalogue(api: Api) -> None:
    token, body = await api.login("demo")
    assert body["methods"] == ["password"]
    assert body["user"] == {
        "id": api.cloud.seeded.users["demo"],
        "name": "demo",
        "domain": {"id": "default", "name": "Default"},
        "password_expires_at": None,
    }
    assert body["project"]["name"] == "demo"
    assert sorted(role["name"] for role in body["roles"]) == ["member", "reader"]
    assert [entry["type"] for entry in body["catalog"]] == ["identity", "compute", "image"]
    public = [e for e in body["catalog"][1]["endpoints"] if e["interface"] == "public"]
    assert public[0]["url"] == "http://127.0.0.1:8774/v2.1"
    context = await api.cloud.authenticator.authenticate(token)
    assert (context.user_name, context.project_name, context.is_admin) == ("demo", "demo", False)
    assert list(context.roles) == ["member", "reader"]


async def test_admin_has_all_implied_roles(api: Api) -> None:
    token, body = await api.login("admin")
    assert {role["name"] for role in body["roles"]} == {"admin", "manager", "member", "reader"}
    assert (await api.cloud.authenticator.authenticate(token)).is_admin


@pytest.mark.parametrize(
    ("user", "password", "scope"),
    [
        ("demo", "wrong", None),
        ("nobody", "wrong", None),
        ("demo", PASSWORDS["demo"], {"project": {"name": "admin", "domain": {"id": "default"}}}),
        ("demo", PASSWORDS["demo"], {"project": {"id": "0" * 32}}),
        ("demo", PASSWORDS["demo"], {"domain": {"id": "default"}}),
        ("demo", PASSWORDS["demo"], {"system": {"all": True}}),
    ],
)
async def test_logins_that_fail_are_401(api: Api, user: str, password: str, scope: object) -> None:
    answer = await api.try_login(user, password, scope)
    assert answer.status == 401
    error = (await answer.json())["error"]
    assert (error["code"], error["title"]) == (401, "Unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Keystone uri=")


async def test_a_wrong_password_and_an_unknown_user_read_the_same(api: Api) -> None:
    first, second = await api.try_login("demo", "wrong"), await api.try_login("nobody", "wrong")
    assert await first.json() == await second.json()


async def test_unscoped_token_is_rescoped(api: Api) -> None:
    token, body = await api.login("demo", scope="unscoped")
    assert "project" not in body
    assert "catalog" not in body
    context = await api.cloud.authenticator.authenticate(token)
    assert not context.project_id
    auth = {
        "identity": {"methods": ["token"], "token": {"id": token}},
        "scope": {"project": {"id": api.cloud.seeded.projects["demo"]}},
    }
    answer = await api.client.post("/v3/auth/tokens", json={"auth": auth})
    assert answer.status == 201
    rescoped = (await answer.json())["token"]
    assert rescoped["methods"] == ["password", "token"]
    assert rescoped["project"]["name"] == "demo"
    assert rescoped["expires_at"] == body["expires_at"]
    assert rescoped["audit_ids"][1] == body["audit_ids"][0]


async def test_login_without_scope_takes_the_default_project(api: Api) -> None:
    user = {"id": api.cloud.seeded.users["demo"], "password": PASSWORDS["demo"]}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}}
    answer = await api.client.post("/v3/auth/tokens", json={"auth": auth})
    assert (await answer.json())["token"]["project"]["name"] == "demo"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "auth"),
        ({"auth": {}}, "identity"),
        ({"auth": {"identity": {"methods": []}}}, "methods"),
        ({"auth": {"identity": {"methods": ["password"]}}}, "password"),
        ({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "x"}}}}}, "user"),
        ({"auth": {"identity": {"methods": ["password"], "pass": {}}}}, "pass"),
        ({"auth": {"identity": {"methods": ["token"], "token": {"id": 7}}}}, "auth/identity/token/id"),
    ],
)
async def test_bodies_that_are_wrong_name_the_field(api: Api, body: object, field: str) -> None:
    answer = await api.client.post("/v3/auth/tokens", json=body)
    assert answer.status == 400
    assert field in (await answer.json())["error"]["message"]


async def test_errors_never_repeat_a_password(api: Api) -> None:
    user = {"name": ["not", "a", "name"], "password": "hunter2"}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}}
    answer = await api.client.post("/v3/auth/tokens", json={"auth": auth})
    assert answer.status == 400
    assert "hunter2" not in await answer.text()


async def test_broken_json_and_too_much_of_it(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await api.client.post("/v3/auth/tokens", data=b"{", headers=headers)).status == 400
    assert (await api.client.post("/v3/auth/tokens", data=b" " * 200000, headers=headers)).status == 413
    assert (
        await api.client.post("/v3/auth/tokens", data=b"x=1", headers={"Content-Type": "text/css"})
    ).status == 415


async def test_validate_check_and_revoke(api: Api) -> None:
    admin, _ = await api.login("admin")
    token, body = await api.login("demo")
    answer = await api.subject("GET", admin, token)
    assert answer.status == 200
    assert (await answer.json())["token"]["audit_ids"] == body["audit_ids"]
    assert (await api.subject("HEAD", token, token)).status == 200
    assert (await api.subject("DELETE", token, token)).status == 204
    assert (await api.subject("GET", admin, token)).status == 404
    assert (await api.call("GET", "/v3/auth/projects", token)).status == 401
    with pytest.raises(UnauthenticatedError, match="revoked"):
        await api.cloud.driver.validate(token)


async def test_others_tokens_are_not_shown(api: Api) -> None:
    admin, _ = await api.login("admin")
    demo, _ = await api.login("demo")
    assert (await api.subject("GET", demo, admin)).status == 403
    assert (await api.subject("DELETE", demo, admin)).status == 403


async def test_forged_and_missing_tokens_are_401(api: Api) -> None:
    token, _ = await api.login("demo")
    head, payload, signature = token.split(".")
    for bad in (
        "",
        "nonsense",
        "a.b.c",
        f"{head}.{payload}.{signature[:-4]}AAAA",
        f"{head}.{payload[1:]}.{signature}",
    ):
        answer = await api.call("GET", "/v3/auth/projects", bad)
        assert answer.status == 401, bad
        assert (await answer.json())["error"]["title"] == "Unauthorized"


async def test_changed_password_ends_tokens_and_a_new_login_works(api: Api) -> None:
    token, body = await api.login("demo")
    change = {"user": {"original_password": PASSWORDS["demo"], "password": "another"}}
    path = f"/v3/users/{body['user']['id']}/password"
    wrong = {"user": {"original_password": "wrong", "password": "another"}}
    assert (await api.client.post(path, json=wrong)).status == 401
    assert (await api.client.post(path, json=change)).status == 204
    await refused(api, token)
    assert (await api.try_login("demo", PASSWORDS["demo"])).status == 401
    fresh, _ = await api.login("demo", "another")
    assert (await api.call("GET", "/v3/auth/projects", fresh)).status == 200


async def test_disabled_user_project_and_domain(api: Api) -> None:
    admin, _ = await api.login("admin")
    token, body = await api.login("demo")
    user = f"/v3/users/{body['user']['id']}"
    project = f"/v3/projects/{body['project']['id']}"
    for path, noun in ((user, "user"), (project, "project")):
        assert (await api.call("PATCH", path, admin, {noun: {"enabled": False}})).status == 200
        await refused(api, token)
        assert (await api.try_login("demo", PASSWORDS["demo"])).status == 401
        assert (await api.call("PATCH", path, admin, {noun: {"enabled": True}})).status == 200
        token, _ = await api.login("demo")


async def test_a_role_taken_back_ends_the_tokens_for_that_project_alone(api: Api) -> None:
    admin, _ = await api.login("admin")
    seeded = api.cloud.seeded
    unscoped, _ = await api.login("demo", scope="unscoped")
    token, body = await api.login("demo")
    path = f"/v3/projects/{seeded.projects['demo']}/users/{body['user']['id']}/roles/{seeded.roles['member']}"
    assert (await api.call("DELETE", path, admin)).status == 204
    await refused(api, token)
    await api.cloud.authenticator.authenticate(unscoped)
    assert (await api.try_login("demo", PASSWORDS["demo"])).status == 401


async def test_expired_token_is_401(tmp_path: Path) -> None:
    async with identity_api(tmp_path, expiration=1) as api:
        token, _ = await api.login("demo")
        expires = (await api.cloud.authenticator.describe(token)).expires_at.seconds
        with pytest.raises(UnauthenticatedError, match="expired"):
            await api.cloud.authenticator.authenticate(token, now=expires + 0.5)


async def test_lockout(tmp_path: Path) -> None:
    async with identity_api(tmp_path, lockout_failure_attempts=3) as api:
        answers = await asyncio.gather(*(api.try_login("demo", "wrong") for _ in range(3)))
        assert [answer.status for answer in answers] == [401] * 3
        assert (await api.try_login("demo", PASSWORDS["demo"])).status == 401
        assert (await api.try_login("admin", PASSWORDS["admin"])).status == 201


async def test_lockout_ends(tmp_path: Path) -> None:
    async with identity_api(tmp_path, lockout_failure_attempts=2, lockout_duration=0) as api:
        for _ in range(3):
            assert (await api.try_login("demo", "wrong")).status == 401
        await api.login("demo")


async def test_nocatalog(api: Api) -> None:
    token, _ = await api.login("demo")
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    answer = await api.client.get("/v3/auth/tokens?nocatalog", headers=headers)
    assert "catalog" not in (await answer.json())["token"]
