"""Tempest in a cloud of tests: its configuration, a run in the namespaces of the cloud, and what it said."""

import configparser
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.clients.tempest_settings import LEFT_OUT, SETTINGS, SKIPPED, Run
from tests.clients.venvs import programs_of
from tests.cloud import Cloud

TEMPEST = "tempest==35.0.0"
# Tempest asks again after a second, so most of its processes sleep most of the time.
PROCESSES = 8
_SECONDS = 600
# A process takes the tests of a class, and some of those of the one that takes longest.
_GROUPS = r"(.*\.ServerActionsTestJSON\.test_\w{4}|([^\.]*\.)*)"
# `{2} tempest.api...test_x [0.1s] ... ok`, or SKIPPED with the reason.
_LINE = re.compile(r"^\{\d+\} (.+?)(?: \[[\d.]+s\])? \.\.\. (ok|FAILED|SKIPPED)(?:: (.*))?$", re.MULTILINE)


@dataclass
class Outcome:
    """What became of the tests."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Reasons by test."""
    said: str = ""
    """All that Tempest printed."""

    @property
    def summary(self) -> str:
        """Tempest's own totals."""
        return self.said[self.said.rfind("Totals") :].partition("Worker Balance")[0].strip("=\n ")


def run_tempest(cloud: Cloud, folder: Path, run: Run, processes: int = PROCESSES) -> Outcome:
    """Run Tempest in a new workspace, `folder`, and fail unless something passes."""
    programs = programs_of(TEMPEST)
    package = next(programs.parent.glob("lib/python3*/site-packages/tempest"))
    (folder / "etc").mkdir(parents=True)
    # Its own configuration has each process import the tests of every service.
    (folder / ".stestr.conf").write_text(
        f"[DEFAULT]\ntest_path={package}/api/compute\ntop_dir={package.parent}\ngroup_regex={_GROUPS}\n"
    )
    _write(folder / "etc" / "tempest.conf", _configuration(cloud, folder, run))
    left_out = [entry.tests for entry in LEFT_OUT if not entry.runs or run.name in entry.runs]
    (folder / "left-out").write_text("".join(f"{tests}\n" for tests in left_out))
    command = cloud.inside(
        *(str(programs / "tempest"), "run", "--workspace-path", str(folder / "workspaces.yaml")),
        *("--concurrency", str(processes), "--regex", run.tests, "--exclude-list", str(folder / "left-out")),
    )
    # nsenter is told to go to where this process is.
    done = subprocess.run(
        [f"-w{folder}" if part.startswith("-w") else part for part in command],
        capture_output=True,
        text=True,
        env={**cloud.variables(), "TEMPEST_CONFIG_DIR": str(folder / "etc"), "HOME": str(folder)},
        timeout=_SECONDS,
        check=False,
    )
    (folder / "output").write_text(done.stdout + done.stderr)
    outcome = read(done.stdout)
    if not outcome.passed:
        pytest.fail(f"Tempest ran nothing: {done.stdout}{done.stderr}\n{cloud.tail()}")
    return outcome


def read(said: str) -> Outcome:
    """What became of the tests, by what Tempest printed as it went."""
    outcome = Outcome(said=said)
    for test, state, reason in _LINE.findall(said):
        if state == "ok":
            outcome.passed.append(test)
        elif state == "FAILED":
            outcome.failed.append(test)
        else:
            outcome.skipped[test] = reason
    return outcome


def check(outcome: Outcome, run: Run) -> None:
    """Fail unless all passed, or were left out for a reason that is known, and no fewer than before."""
    told = "\n\n".join(f"{test}\n{account(outcome, test)}" for test in outcome.failed[:5])
    assert not outcome.failed, f"{len(outcome.failed)} failed: {outcome.failed}\n{told}"
    strange = unexplained(outcome.skipped, [skipped.says for skipped in SKIPPED])
    assert not strange, f"left out for reasons that docs/tempest.md doesn't have: {strange}"
    passed = len(outcome.passed)
    assert passed >= run.passes, f"{passed} tests passed, {run.passes} did before; none failed"


def account(outcome: Outcome, test: str) -> str:
    """What Tempest printed about a failure."""
    begin = outcome.said.find("Captured traceback", outcome.said.find(f"\n{test}\n"))
    return outcome.said[begin : begin + 4000]


def _configuration(cloud: Cloud, folder: Path, run: Run) -> Mapping[str, Mapping[str, str]]:
    clouds = yaml.safe_load((cloud.state / "clouds.yaml").read_text())["clouds"]
    given = clouds["novamesh-admin"]["auth"]
    sections: dict[str, dict[str, str]] = {
        "DEFAULT": {"log_dir": str(folder), "log_file": "tempest.log"},
        "oslo_concurrency": {"lock_path": str(folder / "locks")},
        "identity": {"uri_v3": given["auth_url"]},
        "auth": {
            "admin_username": given["username"],
            "admin_password": given["password"],
            "admin_project_name": given["project_name"],
            "admin_domain_name": "Default",
        },
        "compute": {**_images(cloud), **_versions(run)},
    }
    for setting in (*SETTINGS, *run.settings):
        sections.setdefault(setting.section, {})[setting.option] = setting.value
    return sections


def _images(cloud: Cloud) -> dict[str, str]:
    listed = cloud.openstack("image", "list", "-f", "value", "-c", "ID", "-c", "Name").splitlines()
    ids = {name: image_id for image_id, name in (line.split() for line in listed)}
    return {"image_ref": ids["tiny"], "image_ref_alt": ids["tiny-disk"]}


def _versions(run: Run) -> dict[str, str]:
    options = {
        "min_microversion": run.minimum,
        "max_microversion": run.maximum,
        "fixed_network_name": run.network,
    }
    return {name: value for name, value in options.items() if value}


def _write(path: Path, sections: Mapping[str, Mapping[str, str]]) -> None:
    parser = configparser.RawConfigParser()
    parser.read_dict(sections)
    with path.open("w") as file:
        parser.write(file)


def unexplained(skipped: Mapping[str, str], reasons: Sequence[str]) -> dict[str, str]:
    """The skipped tests whose reason matches none of the expressions."""
    return {
        test: said for test, said in skipped.items() if not any(re.match(reason, said) for reason in reasons)
    }
