"""Runs commands of a Python client, each in a fork of one process that has imported the client already.

A command costs what it does, without the second that its imports take each time. This file stands alone:
the interpreter of the client's virtual environment runs it. It reads lines of JSON, `{"id": 1, "argv": [...],
"environment": {...}}`, and answers each when its command ends: `{"id": 1, "code": 0, "out": "", "err": ""}`.

    python forked.py MODULE[,MODULE...] GROUP...

main() of the first module is the command; the others and groups of plugins are imported where they are there.
"""

import importlib
import importlib.metadata
import inspect
import json
import os
import selectors
import sys
import tempfile
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import distributions, entry_points
from typing import IO, Any


@dataclass
class Child:
    """A command that runs."""

    id: int
    pid: int
    out: IO[bytes]
    err: IO[bytes]


def serve(command: Any) -> None:
    """Run what standard input asks for, until it ends."""
    waiting = selectors.DefaultSelector()
    waiting.register(0, selectors.EVENT_READ)
    unread = b""
    while waiting.get_map():
        for key, _ in waiting.select():
            if isinstance(key.data, Child):
                waiting.unregister(key.fd)
                os.close(key.fd)
                answer(key.data)
                continue
            read = os.read(0, 65536)
            if not read:
                waiting.unregister(0)
            *lines, unread = (unread + read).split(b"\n")
            for line in lines:
                child = start(command, json.loads(line))
                waiting.register(os.pidfd_open(child.pid), selectors.EVENT_READ, child)


def start(command: Any, asked: dict[str, Any]) -> Child:
    """Fork."""
    child = Child(asked["id"], 0, tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115
    child.pid = os.fork()
    if not child.pid:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(child.out.fileno(), 1)
        os.dup2(child.err.fileno(), 2)
        os.environ.update(asked["environment"])
        sys.argv = asked["argv"]
        # Some take arguments whose default they made when they were imported; others read sys.argv.
        arguments = [sys.argv[1:]] if inspect.signature(command).parameters else []
        os._exit(run(command, arguments))
    return child


def run(command: Any, arguments: list[list[str]]) -> int:
    """The command, and its exit status as an interpreter would make it."""
    code: Any = 1
    try:
        code = command(*arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code or 0)


def answer(child: Child) -> None:
    """Say how a command ended."""
    said: dict[str, Any] = {"id": child.id, "code": os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])}
    for name, file in (("out", child.out), ("err", child.err)):
        file.seek(0)
        said[name] = file.read().decode(errors="replace")
        file.close()
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # cliff reads through all that is installed to name a command's package; it stays the same.
    packages = importlib.metadata.packages_distributions()
    vars(importlib.metadata)["packages_distributions"] = lambda: packages
    modules, *groups = sys.argv[1:]
    command_of_client = importlib.import_module(modules.split(",")[0]).main
    for name in modules.split(",")[1:]:
        with suppress(ImportError):
            importlib.import_module(name)
    installed = {entry.group for package in distributions() for entry in package.entry_points}
    for group in installed:
        if group.startswith(tuple(groups)):
            for plugin in entry_points(group=group):
                # One for which something isn't installed is left to whoever needs it.
                with suppress(Exception):
                    plugin.load()
    serve(command_of_client)
