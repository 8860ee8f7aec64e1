"""The commented example configuration, made from the option classes, so that it can't fall behind them."""

import ast
import inspect
import textwrap
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from cli.settings import Settings

HEAD = """\
# Every option of novamesh with its default, made by `novamesh config example`.
# Take the lines that you change. The same by environment: NOVAMESH_SECTION__OPTION=value.
"""
WIDTH = 108


def attribute_docs(owner: type[Any]) -> dict[str, str]:
    """The string below each field of a dataclass."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs


def default_of(option: Field[Any]) -> Any:
    """The option's default; MISSING where it follows from the state directory or the machine."""
    # A factory asks the machine (its name, for example): nothing for an example.
    return option.default


def line(name: str, value: Any) -> str:
    """One option as TOML, commented out. JSON's numbers, strings and lists are TOML's, too."""
    if value is MISSING or value is None:
        return f"# {name} ="
    if isinstance(value, Path):
        value = str(value)
    return f"# {name} = {msgspec.json.encode(value).decode()}"


def example() -> str:
    """The whole file."""
    parts = [HEAD]
    for section, owner in get_type_hints(Settings).items():
        docs = attribute_docs(owner)
        parts.append(f"\n[{section}]\n")
        for option in fields(owner):
            if is_dataclass(get_type_hints(owner)[option.name]):
                continue
            text = textwrap.wrap(
                docs.get(option.name, ""), WIDTH, initial_indent="# ", subsequent_indent="# "
            )
            parts.append("\n".join([*text, line(option.name, default_of(option)), "", ""]))
    return "".join(parts).rstrip() + "\n"
