"""The configuration: sources, mistakes, and the example that lists it all."""

import tomllib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from cli import config
from cli.config import ConfigError
from cli.example import example
from cli.settings import Settings, defaults, derived
from cli.state import StateDirectory

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Small:
    """A section."""

    port: int = 1
    names: tuple[str, ...] = ()
    folder: Path | None = None
    ratio: float = 1.0
    on: bool = False


@dataclass(frozen=True)
class Whole:
    """A configuration."""

    small: Small = field(default_factory=Small)


def test_later_sources_win_option_by_option() -> None:
    built = config.build(Whole, {"small": {"port": 2, "on": True}}, {"small": {"port": 3}})
    assert built == Whole(Small(port=3, on=True))


def test_variables_are_text_and_become_what_the_option_is() -> None:
    variables = {
        "NOVAMESH_SMALL__PORT": "7",
        "NOVAMESH_SMALL__NAMES": "a, b,",
        "NOVAMESH_SMALL__FOLDER": "/x",
        "NOVAMESH_SMALL__RATIO": "1.5",
        "NOVAMESH_SMALL__ON": "true",
        "NOVAMESH_STATE_DIR": "not an option of a section",
        "OTHER_SMALL__PORT": "9",
    }
    built = config.build(Whole, config.read_environment(variables))
    assert built.small == Small(7, ("a", "b"), Path("/x"), 1.5, True)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"smal": {}}, "did you mean small"),
        ({"small": {"prot": 1}}, "[small] prot: there is no such option; did you mean port?"),
        ({"small": {"port": "many"}}, "[small] port: Expected `int`, got `str`"),
        ({"small": 3}, "must be a section"),
    ],
)
def test_a_mistake_names_the_option(source: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.build(Whole, source)
    assert named in str(caught.value)


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("[mesh\n")
    with pytest.raises(ConfigError, match=r"broken\.toml: not TOML"):
        config.read_file(path)


def test_urls_follow_the_ports_until_they_are_configured(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    moved = {"identity_api": {"bind_port": 5555}, "api": {"osapi_compute_listen_port": 8888}}
    first = config.build(Settings, defaults(state), moved)
    settings = config.build(Settings, defaults(state), derived(first), moved)
    assert settings.identity_api.identity_url == "http://127.0.0.1:5555/v3"
    assert settings.api.identity_url == "http://127.0.0.1:5555/v3"
    assert settings.identity_api.compute_url == "http://127.0.0.1:8888/v2.1"
    own = {"identity_api": {"compute_url": "https://cloud/v2.1"}}
    settings = config.build(Settings, defaults(state), derived(first), moved, own)
    assert settings.identity_api.compute_url == "https://cloud/v2.1"


def test_the_example_is_up_to_date_and_every_option_says_what_it_is() -> None:
    written = (ROOT / "conf" / "novamesh.toml").read_text()
    assert written == example(), "run: novamesh config example > conf/novamesh.toml"
    lines = written.splitlines()
    bare = [
        line for before, line in pairwise(lines)
        if line.startswith("# ") and " =" in line and not before.startswith("# ")
    ]  # fmt: skip
    assert not bare, f"options without a description: {bare}"


def test_the_example_s_values_are_the_defaults(tmp_path: Path) -> None:
    uncommented = "\n".join(
        line.removeprefix("# ")
        if line.startswith("# ") and " = " in line and not line.endswith(" =")
        else line
        for line in example().splitlines()
        if not line.startswith("# ") or (" = " in line and line[2:].split(" = ")[0].isidentifier())
    )
    state = StateDirectory(tmp_path)
    plain = config.build(Settings, defaults(state))
    given = {k: v for k, v in tomllib.loads(uncommented).items() if v}
    overlay = defaults(state)
    assert config.build(Settings, given, overlay) == plain
