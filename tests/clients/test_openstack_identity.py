"""The `openstack` client against the Identity API."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer, unused_port

from gateway.identity import IdentityApiOptions
from tests.identity_cloud import PASSWORDS, identity_cloud

pytestmark = pytest.mark.client


class Openstack:
    """Runs `openstack` as a user, by password."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder

    async def __call__(self, *command: str, user: str = "admin", **variables: str) -> Any:
        """The command's JSON, or its text; an AssertionError with its output when it fails."""
        status, out, err = await self.run(*command, user=user, **variables)
        assert status == 0, f"openstack {' '.join(command)}: {err}"
        return json.loads(out) if "-f" in command else out

    async def run(self, *command: str, user: str = "admin", **variables: str) -> tuple[int, str, str]:
        """Exit status, output and errors."""
        program = Path(sys.executable).with_name("openstack")
        assert program.exists(), f"{program} is missing: run `make venv`"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "OS_AUTH_URL": self.url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": user,
            "OS_PASSWORD": PASSWORDS.get(user, ""),
            "OS_PROJECT_NAME": user,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            **variables,
        }
        process = await asyncio.create_subprocess_exec(
            program,
            *command,
            env={name: value for name, value in environment.items() if value},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def openstack(tmp_path: Path) -> AsyncIterator[Openstack]:
    async with identity_cloud(tmp_path) as cloud:
        # The catalogue names the port, so it is chosen before.
        port = unused_port()
        url = f"http://127.0.0.1:{port}/v3"
        server = TestServer(cloud.app(IdentityApiOptions(identity_url=url)), port=port)
        await server.start_server()
        yield Openstack(url, tmp_path)
        await server.close()


async def test_token_catalog_and_endpoints(openstack: Openstack) -> None:
    issued = await openstack("token", "issue", "-f", "json", user="demo")
    assert issued["project_id"]
    assert (await openstack("token", "revoke", issued["id"])) == ""
    catalog = await openstack("catalog", "list", "-f", "json", user="demo")
    assert [entry["Type"] for entry in catalog] == ["identity", "compute", "image"]
    endpoints = await openstack("endpoint", "list", "-f", "json")
    assert len(endpoints) == 9
    services = await openstack("service", "list", "-f", "json")
    assert {service["Type"] for service in services} == {"identity", "compute", "image"}
    status, _, err = await openstack.run("endpoint", "list", user="demo")
    assert status != 0
    assert "403" in err
    regions = await openstack("region", "list", "-f", "json")
    assert [region["Region"] for region in regions] == ["RegionOne"]


async def test_projects(openstack: Openstack) -> None:
    made = await openstack("project", "create", "--description", "for tests", "blue", "-f", "json")
    assert made["description"] == "for tests"
    assert {p["Name"] for p in await openstack("project", "list", "-f", "json")} == {
        "admin", "demo", "service", "blue",
    }  # fmt: skip
    await openstack("project", "set", "--disable", "--name", "green", "blue")
    shown = await openstack("project", "show", "green", "-f", "json")
    assert (shown["id"], shown["enabled"]) == (made["id"], False)
    await openstack("project", "delete", "green")
    status, _, err = await openstack.run("project", "show", "green")
    assert status != 0
    assert "No Project found for green" in err
    own = await openstack("project", "list", "--my-projects", "-f", "json", user="demo")
    assert [p["Name"] for p in own] == ["demo"]


async def test_users_roles_and_assignments(openstack: Openstack) -> None:
    made = await openstack(
        "user", "create", "--password", "first", "--project", "demo", "--email", "a@b.c", "eve", "-f", "json"
    )
    assert made["email"] == "a@b.c"
    await openstack("role", "add", "--user", "eve", "--project", "demo", "member")
    assigned = await openstack("role", "assignment", "list", "--user", "eve", "--names", "-f", "json")
    assert [(a["Role"], a["Project"]) for a in assigned] == [("member", "demo@Default")]
    effective = await openstack(
        "role", "assignment", "list", "--user", "eve", "--effective", "--names", "-f", "json"
    )
    assert {a["Role"] for a in effective} == {"member", "reader"}
    as_eve = {"user": "eve", "OS_PROJECT_NAME": "demo"}
    assert await openstack("token", "issue", "-f", "json", **as_eve, OS_PASSWORD="first")
    await openstack("user", "set", "--password", "second", "eve")
    status, _, err = await openstack.run("token", "issue", **as_eve, OS_PASSWORD="first")
    assert status != 0
    assert "401" in err
    await openstack("user", "password", "set", "--password", "third", "--original-password", "second",
                    **as_eve, OS_PASSWORD="second")  # fmt: skip
    assert await openstack("token", "issue", "-f", "json", **as_eve, OS_PASSWORD="third")
    await openstack("role", "remove", "--user", "eve", "--project", "demo", "member")
    await openstack("user", "show", "eve", "-f", "json")
    await openstack("user", "delete", "eve")
    users = await openstack("user", "list", "-f", "json")
    assert {user["Name"] for user in users} == {"admin", "demo"}
    roles = await openstack("role", "list", "-f", "json")
    assert {role["Name"] for role in roles} == {"admin", "manager", "member", "reader", "service"}
    implied = await openstack("implied", "role", "list", "-f", "json")
    assert len(implied) == 3


async def test_application_credentials(openstack: Openstack) -> None:
    made = await openstack(
        "application", "credential", "create", "--role", "reader", "robot", "-f", "json", user="demo"
    )
    listed = await openstack("application", "credential", "list", "-f", "json", user="demo")
    assert [entry["Name"] for entry in listed] == ["robot"]
    by_credential = {
        "OS_AUTH_TYPE": "v3applicationcredential",
        "OS_APPLICATION_CREDENTIAL_ID": made.get("id") or made["ID"],
        "OS_APPLICATION_CREDENTIAL_SECRET": made.get("secret") or made["Secret"],
        "OS_USERNAME": "",
        "OS_PASSWORD": "",
        "OS_PROJECT_NAME": "",
        "OS_USER_DOMAIN_NAME": "",
        "OS_PROJECT_DOMAIN_NAME": "",
    }
    assert await openstack("token", "issue", "-f", "json", **by_credential)
    await openstack("application", "credential", "delete", "robot", user="demo")
    status, _, err = await openstack.run("token", "issue", **by_credential)
    assert status != 0
    assert "401" in err


async def test_domains_and_what_there_is_not(openstack: Openstack) -> None:
    await openstack("domain", "create", "other", "-f", "json")
    assert {d["Name"] for d in await openstack("domain", "list", "-f", "json")} == {"Default", "other"}
    status, _, err = await openstack.run("domain", "delete", "other")
    assert status != 0
    assert "disable" in err
    await openstack("domain", "set", "--disable", "other")
    await openstack("domain", "delete", "other")
    status, _, err = await openstack.run("group", "list")
    assert status != 0
    assert "groups are not supported" in err
