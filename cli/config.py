"""Read the configuration once: a TOML file, then NOVAMESH_SECTION__OPTION variables, then the command line.

Sections are the fields of a frozen dataclass, options the fields of theirs. A
mistake raises ConfigError, which names the option and what it would accept.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec

T = TypeVar("T")
PREFIX = "NOVAMESH_"


class ConfigError(Exception):
    """A configuration that can't be used; the message names the option."""


def read_file(path: Path) -> dict[str, Any]:
    """The sections of a TOML file. Raises ConfigError when it can't be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def read_environment(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The sections that NOVAMESH_SECTION__OPTION variables give, all values as text."""
    sections: dict[str, dict[str, str]] = {}
    for name, value in environment.items():
        section, mark, option = name.removeprefix(PREFIX).lower().partition("__")
        if name.startswith(PREFIX) and mark and section and option:
            sections.setdefault(section, {})[option] = value
    return sections


def build(config_type: type[T], *sources: Mapping[str, Any]) -> T:
    """A configuration from sources, the later ones over the earlier. Raises ConfigError."""
    merged: dict[str, dict[str, Any]] = {}
    for source in sources:
        for section, options in source.items():
            if not isinstance(options, Mapping):
                raise ConfigError(f"{section}: must be a section: write [{section}] and its options below")
            merged.setdefault(section, {}).update(options)
    hints = get_type_hints(config_type)
    for section, options in merged.items():
        if section not in hints:
            raise ConfigError(f"[{section}]: there is no such section{suggestion(section, hints)}")
        known = {f.name: f for f in fields(hints[section])}
        for option in options:
            if option not in known:
                raise ConfigError(f"[{section}] {option}: there is no such option{suggestion(option, known)}")
    values = {name: section_of(name, hints[name], merged.get(name, {})) for name in hints}
    return config_type(**values)


def section_of(name: str, section_type: type[Any], options: Mapping[str, Any]) -> Any:
    """One section. Raises ConfigError for a value of the wrong kind."""
    assert is_dataclass(section_type)
    hints = get_type_hints(section_type)
    values = {}
    for option, value in options.items():
        wanted = hints[option]
        if isinstance(value, str) and getattr(wanted, "__origin__", None) in (tuple, list):
            value = [part.strip() for part in value.split(",") if part.strip()]
        try:
            # Not strict: variables are text, and "10" is a fine integer.
            values[option] = msgspec.convert(value, wanted, strict=False, dec_hook=decode)
        except msgspec.ValidationError as error:
            raise ConfigError(f"[{name}] {option}: {error}") from error
    try:
        return section_type(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[{name}]: {error}") from error


def decode(wanted: type[Any], value: Any) -> Any:
    """Types that TOML doesn't have."""
    if wanted is Path:
        return Path(value).expanduser()
    raise NotImplementedError(f"options of type {wanted} can't be read")


def suggestion(name: str, known: Mapping[str, Any]) -> str:
    """A hint at what was meant."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(sorted(known))}"
