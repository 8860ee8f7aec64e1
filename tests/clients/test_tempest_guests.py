"""Tempest's server actions on real guests, into which it logs in by ssh; see docs/tempest.md."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.tempest_runs import check, run_tempest
from tests.clients.tempest_settings import GUESTS
from tests.cloud import Cloud, running_cloud

pytestmark = [pytest.mark.real, pytest.mark.client]

# Guests that boot at a time: they are emulated.
PROCESSES = 2


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_cloud(tmp_path_factory.mktemp("guests") / "state") as up:
        for name, memory, disk in (("guest", "96", "1"), ("larger-guest", "128", "2")):
            up.openstack(
                *("flavor", "create", "--id", name, "--ram", memory, "--disk", disk, "--vcpus", "1", name),
                cloud="novamesh-admin",
            )
        yield up


def test_tempest_looks_at_guests(cloud: Cloud, tmp_path: Path) -> None:
    check(run_tempest(cloud, tmp_path / "workspace", GUESTS, PROCESSES), GUESTS)
