"""An administrator's day with each client, all on one cloud of two hosts with pretended guests.

What they do with flavors they do at the same time; hosts and default quotas they have one after another,
since a host that is disabled or down is so for everybody.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest

from tests.clients.days import nova_admin, openstack_admin, sdk_admin
from tests.clients.days.hosts import SECOND
from tests.clients.days.people import Person, make_people
from tests.clients.days.running import Day, started
from tests.clients.shells import Shell, shell
from tests.cloud import CHEAP_PASSWORDS, JOINABLE, Cloud, running_cloud

pytestmark = [
    pytest.mark.client,
    # The first test waits for all days that live before its own.
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    # Fields that have come to an end are part of the answers.
    pytest.mark.filterwarnings("ignore::openstack.warnings.OpenStackDeprecationWarning"),
]

Hosts = AbstractContextManager[Any]
AdminDay = Callable[[Cloud, Person, Person, Hosts], None]


def with_shell(program: str, requirement: str, lived: Callable[[Shell, Person, Hosts], None]) -> AdminDay:
    """A day that is lived with a command."""

    def day(cloud: Cloud, admin: Person, member: Person, hosts: Hosts) -> None:
        users = {"user": admin.environment, "member": member.environment}
        with shell(cloud, program, requirement, users) as typed:
            lived(typed, member, hosts)

    return day


def with_sdk(cloud: Cloud, admin: Person, member: Person, hosts: Hosts) -> None:
    """A day that is lived with openstacksdk."""
    with cloud.entered():
        sdk_admin.day(admin.connection(), member, hosts)


DAYS: Mapping[str, AdminDay] = {
    "openstack-10.5.0": with_shell("openstack", "python-openstackclient==10.5.0", openstack_admin.day),
    "openstack-9.0.1": with_shell("openstack", "python-openstackclient==9.0.1", openstack_admin.day),
    "nova-18.13.1": with_shell("nova", "python-novaclient==18.13.1", nova_admin.day_with_18),
    "nova-7.1.2": with_shell("nova", "python-novaclient==7.1.2", nova_admin.day_with_7),
    "openstacksdk-4.22.0": with_sdk,
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    state = tmp_path_factory.mktemp("days") / "state"
    # So that a delete can be taken back.
    environment = {**JOINABLE, **CHEAP_PASSWORDS, "NOVAMESH_CONDUCTOR__RECLAIM_INSTANCE_INTERVAL": "3600"}
    with running_cloud(state, "--fake", environment=environment) as up:
        up.add_fake_host(SECOND)
        yield up


@pytest.fixture(scope="module")
def days(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[None]]]:
    """The days that were asked for, begun."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = {test.callspec.params["name"] for test in tests if test.module is request.module}
    wanted = [name for name in DAYS if name in asked]
    roles = {f"{who}-{name}": who for name in wanted for who in ("admin", "member")}
    people = make_people(cloud, roles)
    hosts = threading.Lock()
    begun: dict[str, Day] = {
        name: partial(DAYS[name], cloud, people[f"admin-{name}"], people[f"member-{name}"], hosts)
        for name in wanted
    }
    with started(begun) as futures:
        yield futures


@pytest.mark.parametrize("name", DAYS)
def test_an_administrators_day(days: Mapping[str, Future[None]], name: str) -> None:
    days[name].result()
