"""A user's day with each age of `nova` and with openstacksdk, all at the same time.

test_openstack_user.py has the day with `openstack`.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest

from tests.clients.days import nova_user, sdk_user
from tests.clients.days.people import Person, make_people
from tests.clients.days.running import Day, started
from tests.clients.shells import Shell, shell
from tests.cloud import Cloud

pytestmark = [
    pytest.mark.client,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    # Old ways of asking are part of the day.
    pytest.mark.filterwarnings("ignore::openstack.warnings.OpenStackDeprecationWarning"),
]


def with_shell(
    program: str, requirement: str, lived: Callable[[Shell, Path], None]
) -> Callable[[Cloud, Person, Path], None]:
    """A day that is lived with a command."""

    def day(cloud: Cloud, person: Person, folder: Path) -> None:
        with shell(cloud, program, requirement, {"user": person.environment}) as typed:
            lived(typed, folder)

    return day


def with_sdk(cloud: Cloud, person: Person, folder: Path) -> None:
    """A day that is lived with openstacksdk."""
    with cloud.entered():
        sdk_user.day(person.connection(), folder)


DAYS: Mapping[str, Callable[[Cloud, Person, Path], None]] = {
    "nova-18.13.1": with_shell("nova", "python-novaclient==18.13.1", nova_user.day_with_18),
    "nova-7.1.2": with_shell("nova", "python-novaclient==7.1.2", nova_user.day_with_7),
    "openstacksdk-4.22.0": with_sdk,
}


@pytest.fixture(scope="module")
def days(
    two_hosts: Cloud, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[None]]]:
    """The days that were asked for, begun."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = {test.callspec.params["name"] for test in tests if test.module is request.module}
    wanted = [name for name in DAYS if name in asked]
    people = make_people(two_hosts, {f"user-{name}": "member" for name in wanted})
    begun: dict[str, Day] = {
        name: partial(DAYS[name], two_hosts, people[f"user-{name}"], tmp_path_factory.mktemp("files"))
        for name in wanted
    }
    with started(begun) as futures:
        yield futures


@pytest.mark.parametrize("name", DAYS)
def test_a_users_day(days: Mapping[str, Future[None]], name: str) -> None:
    days[name].result()
