"""Tempest's tests of the Compute API, on a cloud of two hosts with pretended guests.

docs/tempest.md lists what Tempest is told, and what is left out and why; tests/unit/test_tempest_page.py
holds the page to it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.tempest_runs import check, run_tempest
from tests.clients.tempest_settings import RUNS, Run
from tests.cloud import JOINABLE, Cloud, running_cloud

pytestmark = pytest.mark.client


# Tempest wants to see an image that isn't whole yet.
_CONFIGURATION = "[fake]\ndelays = { read_snapshot = 1.5 }\n"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    state = tmp_path_factory.mktemp("tempest") / "state"
    with running_cloud(state, "--fake", environment=JOINABLE, configuration=_CONFIGURATION) as up:
        up.add_fake_host("second")
        yield up


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_compute(cloud: Cloud, tmp_path: Path, run: Run) -> None:
    check(run_tempest(cloud, tmp_path / "workspace", run), run)
