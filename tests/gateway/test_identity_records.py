"""Domains, projects, users, roles and their assignments over real servicers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.identity_cloud import Api, Json, identity_api, refused


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with identity_api(tmp_path) as running:
        yield running


@pytest.fixture
async def admin(api: Api) -> str:
    return (await api.login("admin"))[0]


@pytest.fixture
async def demo(api: Api) -> str:
    return (await api.login("demo"))[0]


async def test_version_documents_need_no_token(api: Api) -> None:
    answer = await api.client.get("/")
    assert answer.status == 300
    (version,) = (await answer.json())["versions"]["values"]
    assert version["status"] == "stable"
    for path in ("/v3", "/v3/"):
        body = await (await api.client.get(path)).json()
        assert body["version"]["links"][0]["href"].endswith("/v3/")


async def test_projects_come_and_go(api: Api, admin: str) -> None:
    body = {
        "project": {"name": "blue", "description": "d", "tags": ["x"], "domain_id": "default", "options": {}}
    }
    made = await api.made("/v3/projects", admin, body)
    assert (made["domain_id"], made["parent_id"], made["enabled"], made["tags"]) == (
        "default",
        "default",
        True,
        ["x"],
    )
    path = f"/v3/projects/{made['id']}"
    assert (await (await api.call("GET", path, admin)).json())["project"] == made
    answer = await api.call("PATCH", path, admin, {"project": {"name": "green", "enabled": False}})
    changed = (await answer.json())["project"]
    assert (changed["name"], changed["enabled"], changed["description"]) == ("green", False, "d")
    listed = await (await api.call("GET", "/v3/projects?enabled=false", admin)).json()
    assert [p["name"] for p in listed["projects"]] == ["green"]
    listed = await (await api.call("GET", "/v3/projects?name=green&domain_id=default", admin)).json()
    assert len(listed["projects"]) == 1
    assert listed["links"]["next"] is None
    assert (await api.call("DELETE", path, admin)).status == 204
    answer = await api.call("GET", path, admin)
    assert answer.status == 404
    assert (await answer.json())["error"]["title"] == "Not Found"


async def test_a_name_that_is_taken_is_409(api: Api, admin: str) -> None:
    bodies: dict[str, Json] = {
        "/v3/projects": {"project": {"name": "demo"}},
        "/v3/users": {"user": {"name": "demo"}},
        "/v3/roles": {"role": {"name": "member"}},
        "/v3/domains": {"domain": {"name": "Default"}},
    }
    for path, body in bodies.items():
        answer = await api.call("POST", path, admin, body)
        assert answer.status == 409, path
        assert (await answer.json())["error"]["title"] == "Conflict"
    # In another domain it is free.
    domain = await api.made("/v3/domains", admin, {"domain": {"name": "other"}})
    await api.made("/v3/projects", admin, {"project": {"name": "demo", "domain_id": domain["id"]}})


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v3/projects", {"project": {}}, "name"),
        ("/v3/projects", {"project": {"name": ""}}, "project/name"),
        ("/v3/projects", {"project": {"name": "x", "colour": "red"}}, "colour"),
        ("/v3/projects", {"project": {"name": "x" * 65}}, "project/name"),
        ("/v3/projects", {"project": {"name": "x", "enabled": "yes"}}, "project/enabled"),
        (
            "/v3/projects",
            {"project": {"name": "x", "parent_id": "0" * 32, "domain_id": "default"}},
            "parent_id",
        ),
        ("/v3/projects", {"project": {"name": "x", "tags": ["a", "a"]}}, "project/tags"),
        ("/v3/users", {"user": {"name": "x", "password": 7}}, "user/password"),
        (
            "/v3/users",
            {"user": {"name": "x", "options": {"multi_factor_auth_enabled": True}}},
            "user/options",
        ),
        ("/v3/users", {"name": "x"}, "'name' was unexpected"),
        ("/v3/roles", {"role": {"name": "x", "domain_id": "default"}}, "role/domain_id"),
        ("/v3/domains", {"domain": []}, "domain"),
    ],
)
async def test_what_is_wrong_is_named(api: Api, admin: str, path: str, body: Json, field: str) -> None:
    answer = await api.call("POST", path, admin, body)
    assert answer.status == 400
    assert field in (await answer.json())["error"]["message"]


async def test_users_are_made_changed_and_never_show_a_password(api: Api, admin: str) -> None:
    wanted = {"name": "eve", "password": "first", "email": "e@x.y", "options": {}, "enabled": True}
    made = await api.made("/v3/users", admin, {"user": wanted})
    assert "password" not in made
    assert made["email"] == "e@x.y"
    unscoped, _ = await api.login("eve", "first", "unscoped")
    assert unscoped
    path = f"/v3/users/{made['id']}"
    answer = await api.call("PATCH", path, admin, {"user": {"password": "second", "name": "eva"}})
    assert (await answer.json())["user"]["name"] == "eva"
    assert (await api.try_login("eva", "first", "unscoped")).status == 401
    await api.login("eva", "second", "unscoped")
    assert (await api.call("DELETE", path, admin)).status == 204
    assert (await api.try_login("eva", "second", "unscoped")).status == 401


async def test_a_user_s_project_may_have_its_old_name(api: Api, admin: str) -> None:
    project = await api.made("/v3/projects", admin, {"project": {"name": "blue"}})
    made = await api.made("/v3/users", admin, {"user": {"name": "eve", "project_id": project["id"]}})
    assert made["default_project_id"] == project["id"]


async def test_a_user_without_a_password_cannot_log_in(api: Api, admin: str) -> None:
    await api.made("/v3/users", admin, {"user": {"name": "robot"}})
    for password in ("x", "nobody has this password"):
        assert (await api.try_login("robot", password, "unscoped")).status == 401


async def test_who_may_what(api: Api, admin: str, demo: str) -> None:
    seeded = api.cloud.seeded
    own = seeded.users["demo"]
    allowed = [f"/v3/users/{own}", f"/v3/users/{own}/projects", f"/v3/projects/{seeded.projects['demo']}",
               "/v3/auth/projects", "/v3/auth/catalog", "/v3/auth/domains", "/v3/domains/default",
               "/v3/regions"]  # fmt: skip
    refused = [f"/v3/users/{seeded.users['admin']}", "/v3/users", "/v3/projects", "/v3/roles", "/v3/domains",
               f"/v3/projects/{seeded.projects['admin']}", "/v3/role_assignments", "/v3/services",
               "/v3/endpoints"]  # fmt: skip
    for path in allowed:
        assert (await api.call("GET", path, demo)).status == 200, path
    for path in refused:
        answer = await api.call("GET", path, demo)
        assert answer.status == 403, path
        assert (await answer.json())["error"]["title"] == "Forbidden"
        assert (await api.call("GET", path, admin)).status == 200, path
        assert (await api.call("GET", path, "")).status == 401
    for path in ("/v3/users", "/v3/projects", "/v3/roles", "/v3/domains"):
        assert (await api.call("POST", path, demo, {})).status == 403
    assert (await api.call("PATCH", f"/v3/users/{own}", demo, {"user": {"enabled": True}})).status == 403


async def test_assignments_with_names_and_effective(api: Api, admin: str) -> None:
    seeded = api.cloud.seeded
    query = f"user.id={seeded.users['demo']}&include_names=1"
    plain = (await (await api.call("GET", f"/v3/role_assignments?{query}", admin)).json())["role_assignments"]
    assert [(a["role"]["name"], a["scope"]["project"]["name"]) for a in plain] == [("member", "demo")]
    assert plain[0]["user"]["domain"] == {"id": "default", "name": "Default"}
    answer = await api.call("GET", f"/v3/role_assignments?{query}&effective", admin)
    effective = (await answer.json())["role_assignments"]
    assert {a["role"]["name"] for a in effective} == {"member", "reader"}
    (implied,) = [a for a in effective if a["role"]["name"] == "reader"]
    assert "prior_role" in implied["links"]
    answer = await api.call(
        "GET", f"/v3/role_assignments?{query}&effective&role.id={seeded.roles['reader']}", admin
    )
    assert len((await answer.json())["role_assignments"]) == 1
    answer = await api.call("GET", "/v3/role_assignments?group.id=x", admin)
    assert (await answer.json())["role_assignments"] == []


async def test_grants_on_projects_and_domains(api: Api, admin: str) -> None:
    seeded = api.cloud.seeded
    user, role = seeded.users["demo"], seeded.roles["manager"]
    for place in (f"/v3/projects/{seeded.projects['admin']}", "/v3/domains/default"):
        grant = f"{place}/users/{user}/roles/{role}"
        assert (await api.call("HEAD", grant, admin)).status == 404
        for _ in range(2):
            assert (await api.call("PUT", grant, admin)).status == 204
        assert (await api.call("HEAD", grant, admin)).status == 204
        listed = await (await api.call("GET", f"{place}/users/{user}/roles", admin)).json()
        assert [r["name"] for r in listed["roles"]] == ["manager"]
    _, body = await api.login("demo", scope={"domain": {"name": "Default"}})
    assert body["domain"] == {"id": "default", "name": "Default"}
    assert {r["name"] for r in body["roles"]} == {"manager", "member", "reader"}
    assert (await api.call("DELETE", f"/v3/domains/default/users/{user}/roles/{role}", admin)).status == 204
    assert (await api.try_login("demo", "demo-secret", {"domain": {"id": "default"}})).status == 401
    for missing in (
        f"/v3/projects/none/users/{user}/roles/{role}",
        f"/v3/domains/default/users/none/roles/{role}",
    ):
        assert (await api.call("PUT", missing, admin)).status == 404


async def test_implied_roles(api: Api, admin: str) -> None:
    roles = api.cloud.seeded.roles
    made = await api.made("/v3/roles", admin, {"role": {"name": "auditor"}})
    path = f"/v3/roles/{roles['reader']}/implies/{made['id']}"
    assert (await api.call("PUT", path, admin)).status == 201
    _, body = await api.login("demo")
    assert "auditor" in {r["name"] for r in body["roles"]}
    circle = f"/v3/roles/{made['id']}/implies/{roles['admin']}"
    assert (await api.call("PUT", circle, admin)).status == 400
    assert (await api.call("HEAD", path, admin)).status == 200
    listed = await (await api.call("GET", "/v3/role_inferences", admin)).json()
    assert len(listed["role_inferences"]) == 4
    assert (await api.call("DELETE", path, admin)).status == 204
    # Tokens with the role that implied it end, this one among them.
    await refused(api, admin)
    admin, _ = await api.login("admin")
    assert (await api.call("GET", path, admin)).status == 404


async def test_a_domain_goes_with_all_that_is_in_it(api: Api, admin: str) -> None:
    domain = await api.made("/v3/domains", admin, {"domain": {"name": "other"}})
    project = await api.made("/v3/projects", admin, {"project": {"name": "p", "domain_id": domain["id"]}})
    path = f"/v3/domains/{domain['id']}"
    answer = await api.call("DELETE", path, admin)
    assert answer.status == 403
    assert "disable" in (await answer.json())["error"]["message"]
    assert (await api.call("PATCH", path, admin, {"domain": {"enabled": False}})).status == 200
    assert (await api.call("DELETE", path, admin)).status == 204
    assert (await api.call("GET", f"/v3/projects/{project['id']}", admin)).status == 404


async def test_application_credentials(api: Api, demo: str) -> None:
    user = api.cloud.seeded.users["demo"]
    path = f"/v3/users/{user}/application_credentials"
    wanted = {"name": "robot", "roles": [{"name": "reader"}], "secret": "s3cret"}
    made = await api.made(path, demo, {"application_credential": wanted})
    assert made["secret"] == "s3cret"
    assert [r["name"] for r in made["roles"]] == ["reader"]
    shown = await (await api.call("GET", f"{path}/{made['id']}", demo)).json()
    assert "secret" not in shown["application_credential"]

    by_id = {"id": made["id"], "secret": "s3cret"}
    by_name = {"name": "robot", "user": {"id": user}, "secret": "s3cret"}
    for given in (by_id, by_name):
        identity = {"methods": ["application_credential"], "application_credential": given}
        answer = await api.client.post("/v3/auth/tokens", json={"auth": {"identity": identity}})
        body = (await answer.json())["token"]
        assert [r["name"] for r in body["roles"]] == ["reader"]
        assert body["application_credential"]["restricted"] is True
    token = answer.headers["X-Subject-Token"]
    # A restricted one can't make others, nor remove itself.
    answer = await api.call("POST", path, token, {"application_credential": {"name": "more"}})
    assert answer.status == 403
    assert (await api.call("DELETE", f"{path}/{made['id']}", token)).status == 403
    # Nor be turned into a token for more.
    auth = {"identity": {"methods": ["token"], "token": {"id": token}}, "scope": "unscoped"}
    assert (await api.client.post("/v3/auth/tokens", json={"auth": auth})).status == 401

    wrong = {"methods": ["application_credential"], "application_credential": {**by_id, "secret": "no"}}
    assert (await api.client.post("/v3/auth/tokens", json={"auth": {"identity": wrong}})).status == 401
    assert (await api.call("DELETE", f"{path}/{made['id']}", demo)).status == 204
    answer = await api.client.post("/v3/auth/tokens", json={"auth": {"identity": identity}})
    assert answer.status == 401


async def test_application_credentials_give_no_more_than_the_user_has(
    api: Api, admin: str, demo: str
) -> None:
    seeded = api.cloud.seeded
    path = f"/v3/users/{seeded.users['demo']}/application_credentials"
    too_much = {"name": "x", "roles": [{"id": seeded.roles["admin"]}]}
    assert (await api.call("POST", path, demo, {"application_credential": too_much})).status == 400
    past = {"name": "x", "expires_at": "2020-01-01T00:00:00"}
    answer = await api.call("POST", path, demo, {"application_credential": past})
    assert "expires_at" in (await answer.json())["error"]["message"]
    # An administrator makes none for others.
    assert (await api.call("POST", path, admin, {"application_credential": {"name": "x"}})).status == 403
    made = await api.made(
        path, demo, {"application_credential": {"name": "x", "expires_at": "2999-01-01T00:00:00"}}
    )
    grant = f"/v3/projects/{seeded.projects['demo']}/users/{seeded.users['demo']}/roles"
    assert (await api.call("DELETE", f"{grant}/{seeded.roles['member']}", admin)).status == 204
    identity = {
        "methods": ["application_credential"],
        "application_credential": {"id": made["id"], "secret": made["secret"]},
    }
    assert (await api.client.post("/v3/auth/tokens", json={"auth": {"identity": identity}})).status == 401


async def test_catalogue_lists(api: Api, admin: str) -> None:
    listed = (await (await api.call("GET", "/v3/services?type=compute", admin)).json())["services"]
    assert [s["name"] for s in listed] == ["nova"]
    path = f"/v3/endpoints?service_id={listed[0]['id']}&interface=public"
    (endpoint,) = (await (await api.call("GET", path, admin)).json())["endpoints"]
    assert (await api.call("GET", f"/v3/endpoints/{endpoint['id']}", admin)).status == 200
    assert (await api.call("GET", "/v3/endpoints/none", admin)).status == 404
    assert (await api.call("POST", "/v3/services", admin, {})).status == 405


async def test_what_there_is_not_says_so(api: Api, admin: str) -> None:
    for path in ("/v3/groups", "/v3/groups/x/users", "/v3/OS-TRUST/trusts", "/v3/credentials"):
        answer = await api.call("GET", path, admin)
        assert answer.status == 501, path
        assert "not supported" in (await answer.json())["error"]["message"]
    assert (await api.call("GET", "/v3/nonsense", admin)).status == 404
    answer = await api.call("DELETE", "/v3/projects", admin)
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]


async def test_every_answer_has_a_request_id(api: Api, admin: str) -> None:
    for path in ("/v3/projects", "/v3/users/none"):
        assert (await api.call("GET", path, admin)).headers["X-Openstack-Request-Id"].startswith("req-")


async def test_long_lists_are_whole(api: Api, admin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.identity_rows.MOST", 2)
    listed = await (await api.call("GET", "/v3/projects", admin)).json()
    assert sorted(p["name"] for p in listed["projects"]) == ["admin", "demo", "service"]
