"""Who lives through the days: users with projects of their own, which they get through the Identity API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from tests.cloud import Cloud

# What clients take from the environment, and openstacksdk as arguments of its login.
_AUTH = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")


@dataclass(frozen=True)
class Person:
    """A user of the cloud, in a project of their own."""

    environment: Mapping[str, str]
    """What the clients read to log in."""
    project_id: str
    user_id: str

    def connection(self) -> Any:
        """openstacksdk, logged in. Any, since its types leave both versions of each service open."""
        return _connect(self.environment)


def _connect(environment: Mapping[str, str]) -> Any:
    config = OpenStackConfig(config_files=[], load_envvars=False)
    auth = {name: environment[f"OS_{name.upper()}"] for name in _AUTH}
    return Connection(config=config.get_one(auth=auth, region_name=environment["OS_REGION_NAME"]))


def _administrator(cloud: Cloud) -> dict[str, str]:
    given = yaml.safe_load((cloud.state / "clouds.yaml").read_text())["clouds"]["novamesh-admin"]
    return {
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": given["region_name"],
        **{f"OS_{option.upper()}": value for option, value in given["auth"].items()},
    }


def make_people(cloud: Cloud, roles: Mapping[str, str]) -> dict[str, Person]:
    """A person with a new project for each name, who has the role there."""
    administrator = _administrator(cloud)
    people = {}
    with cloud.entered():
        identity = _connect(administrator).identity
        for name, role in roles.items():
            project = identity.create_project(name=name)
            user = identity.create_user(name=name, password=f"secret of {name}")
            identity.assign_project_role_to_user(project, user, identity.find_role(role))
            own = {"OS_USERNAME": name, "OS_PASSWORD": f"secret of {name}", "OS_PROJECT_NAME": name}
            people[name] = Person({**administrator, **own}, project.id, user.id)
    return people
