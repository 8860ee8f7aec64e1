"""The commands of other people's clients in a cloud of tests, as their users type them."""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openstack.config import OpenStackConfig
from openstack.connection import Connection

from tests.clients.venvs import programs_of
from tests.cloud import Cloud

_FORKED = Path(__file__).with_name("forked.py")
# Where each command's main() is and what it imports besides, and the groups of plugins that it looks through.
_MODULES = {
    "openstack": ("openstackclient.shell", "openstack.", "cliff.formatter", "keystoneauth1."),
    "nova": ("novaclient.shell,novaclient.v2.client,prettytable,wcwidth", "keystoneauth1."),
}


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """A client's command, typed by one user or the other."""

    program: str
    users: Mapping[str, Mapping[str, str]]
    """Environment by user."""
    forked: "subprocess.Popen[str]"
    typed: list[tuple[str, ...]] = field(default_factory=list)
    """Every command that ended well, without the program's name."""

    def say(self, *arguments: str, user: str = "user") -> Said:
        """Type a command and wait for its end."""
        assert self.forked.stdin is not None
        assert self.forked.stdout is not None
        asked = {"id": 0, "argv": [self.program, *arguments], "environment": dict(self.users[user])}
        self.forked.stdin.write(json.dumps(asked) + "\n")
        self.forked.stdin.flush()
        answer = json.loads(self.forked.stdout.readline())
        return Said(answer["code"], answer["out"], answer["err"])

    def __call__(self, *arguments: str, user: str = "user") -> str:
        """What a command prints. Fails unless it exits 0."""
        said = self.say(*arguments, user=user)
        assert said.code == 0, f"{self.program} {' '.join(arguments)}: exit {said.code}\n{said.out}{said.err}"
        self.typed.append(arguments)
        return said.out.strip()

    def json(self, *arguments: str, user: str = "user") -> Any:
        """What `... -f json` prints, without what it says while it waits or of its own age."""
        printed = self(*arguments, "-f", "json", user=user)
        begin = re.search(r"^[\[{]", printed, re.MULTILINE)
        assert begin is not None, printed
        return json.JSONDecoder().raw_decode(printed, begin.start())[0]

    def rows(self, *arguments: str, user: str = "user") -> list[list[str]]:
        """The cells of the printed table, without the heading."""
        lines = [line for line in self(*arguments, user=user).splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]

    def properties(self, *arguments: str, user: str = "user") -> dict[str, str]:
        """The printed table of two columns."""
        return {row[0]: row[1] for row in self.rows(*arguments, user=user)}

    def refused(self, *arguments: str, user: str = "user") -> str:
        """What a command that has to fail says, in one line."""
        said = self.say(*arguments, user=user)
        assert said.code, f"{self.program} {' '.join(arguments)} did not fail:\n{said.out}"
        return " ".join((said.out + said.err).split())

    def unused(self, commands: set[str]) -> set[str]:
        """Those of the client's commands that were not typed."""
        used = set()
        for typed in self.typed:
            words = " ".join(typed)
            used |= {command for command in commands if words == command or words.startswith(command + " ")}
        return commands - used


@contextmanager
def shell(
    cloud: Cloud, program: str, requirement: str, users: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Shell]:
    """`openstack` or `nova` of a client, "python-novaclient==7.1.2" for example.

    Unless others are given its users are `user` and `admin`, both in a new project.
    """
    command = [str(programs_of(requirement) / "python"), str(_FORKED), *_MODULES[program]]
    with subprocess.Popen(
        cloud.inside(*command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Progress bars and farewells of clients are warnings to Python.
        env={**cloud.variables(), "PYTHONWARNINGS": "ignore"},
    ) as forked:
        yield Shell(program, users or _new_users(cloud), forked)
        assert forked.stdin is not None
        forked.stdin.close()


def _new_users(cloud: Cloud) -> dict[str, dict[str, str]]:
    project_name = f"day-{uuid.uuid4()}"
    config = OpenStackConfig(config_files=[str(cloud.state / "clouds.yaml")], load_envvars=False)
    given = config.get_one(cloud="novamesh-admin")
    users = {}
    with cloud.entered():
        identity: Any = Connection(config=given).identity
        project = identity.create_project(name=project_name)
        for name, role in (("user", "member"), ("admin", "admin")):
            user = identity.create_user(name=f"{name} of {project_name}", password="secret")
            identity.assign_project_role_to_user(project, user, identity.find_role(role))
            auth = {
                **given.get_auth_args(),
                "username": user.name,
                "password": "secret",
                "project_name": project_name,
            }
            users[name] = {
                "OS_AUTH_TYPE": "password",
                "OS_IDENTITY_API_VERSION": "3",
                "OS_REGION_NAME": given.region_name,
                **{f"OS_{option.upper()}": value for option, value in auth.items()},
            }
    return users
