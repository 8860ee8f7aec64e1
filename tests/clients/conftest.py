"""The cloud that the clients share."""

from collections.abc import Iterator

import pytest

from tests.cloud import CHEAP_PASSWORDS, JOINABLE, Cloud, running_cloud

# The second host of the cloud; the first is called like this machine.
SECOND = "second"


@pytest.fixture(scope="session")
def two_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of two hosts with pretended guests, one for all tests of a process: who uses it cleans up."""
    state = tmp_path_factory.mktemp("two-hosts") / "state"
    with running_cloud(state, "--fake", environment={**JOINABLE, **CHEAP_PASSWORDS}) as up:
        up.add_fake_host(SECOND)
        yield up
