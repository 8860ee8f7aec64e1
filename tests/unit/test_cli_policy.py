"""`novamesh policy show` prints what the gateway goes by, in a form that the gateway reads."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from oslo_policy import policy as oslo

from cli.main import main
from gateway.compute.rules import RULES
from gateway.policy import Policy
from tests.gateway.compute_world import CONTEXTS

SHOW = "os_compute_api:servers:show"


def run(tmp_path: Path, *words: str, status: int = 0) -> str:
    """What `novamesh policy show` prints."""
    result = CliRunner().invoke(main, ["policy", "show", "--state-dir", str(tmp_path), *words])
    assert result.exit_code == status, result.output
    return result.stdout if status == 0 else result.output


def test_every_rule_is_printed_with_what_it_guards(tmp_path: Path) -> None:
    printed = run(tmp_path)
    read = oslo.Rules.load(printed)
    assert read.keys() == {rule.name for rule in RULES}
    for rule in RULES:
        assert f"# {rule.description}\n" in printed
        assert str(read[rule.name]) == str(oslo.Rules.from_dict({"x": rule.check})["x"])


def test_what_a_file_changes(tmp_path: Path) -> None:
    changed = tmp_path / "policy.yaml"
    changed.write_text(f'"{SHOW}": "role:auditor or user_id:\\"x\\""\n"mine": "role:member"\n')
    printed = run(tmp_path, "--policy-file", str(changed), "--overridden")
    assert printed == (
        "# a rule of the policy file's own\n"
        '"mine": "role:member"\n\n'
        "# Show a server.\n"
        "# overridden; the default is: rule:project_reader_or_admin\n"
        f'"{SHOW}": "(role:auditor or user_id:\\"x\\")"\n'
    )
    assert len(run(tmp_path, "--policy-file", str(changed), "servers:show").split("\n\n")) == 4


def test_the_configured_file_is_looked_at(tmp_path: Path) -> None:
    changed = tmp_path / "policy.yaml"
    changed.write_text(f'"{SHOW}": "!"\n')
    config = tmp_path / "some.toml"
    config.write_text(f'[api]\npolicy_file = "{changed}"\n')
    assert f'"{SHOW}": "!"' in run(tmp_path, "--config", str(config), "--overridden")


@pytest.mark.parametrize("text", ["- a\n- list\n", "a: [", None])
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str | None) -> None:
    broken = tmp_path / "broken.yaml"
    if text is not None:
        broken.write_text(text)
    assert "broken.yaml" in run(tmp_path, "--policy-file", str(broken), status=2)


def test_nothing_found_says_so(tmp_path: Path) -> None:
    for words, said in ((["--overridden"], "No rule is overridden"), (["nonsense"], "no such rule")):
        result = CliRunner().invoke(main, ["policy", "show", "--state-dir", str(tmp_path), *words])
        assert (result.exit_code, result.stdout) == (0, "")
        assert said in result.stderr


def test_a_policy_file_may_use_novas_older_names(tmp_path: Path) -> None:
    changed = tmp_path / "policy.yaml"
    changed.write_text(
        '"os_compute_api:os-services": "role:member"\n"os_compute_api:os-services:delete": "!"\n'
        '"os_compute_api:os-hypervisors": "rule:os_compute_api:os-hypervisors:list"\n'
    )
    policy = Policy(RULES, changed)
    demo, admin = CONTEXTS["demo"], CONTEXTS["admin"]
    assert policy.allows("os_compute_api:os-services:list", demo)
    # Named itself, so the older name means nothing for it.
    assert not policy.allows("os_compute_api:os-services:delete", admin)
    # The older name leads to the new one: nothing changes for that, and the others follow.
    for name in ("list", "show"):
        assert not policy.allows(f"os_compute_api:os-hypervisors:{name}", demo)
        assert policy.allows(f"os_compute_api:os-hypervisors:{name}", admin)
