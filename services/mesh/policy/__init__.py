"""Which role may call which rpc. No row means denied.

One file a role whose services it guards, each with a dict `ROWS` of full
method name to the roles that may call it.
"""

from collections.abc import Mapping

from services.mesh.policy import (
    cert,
    compute,
    conductor,
    consoleauth,
    consoles,
    gateway,
    identity,
    image,
    mesh,
    metadata,
    network,
    objectstore,
    scheduler,
)

Policy = Mapping[str, frozenset[str]]

_FILES = (
    cert,
    compute,
    conductor,
    consoleauth,
    consoles,
    gateway,
    identity,
    image,
    mesh,
    metadata,
    network,
    objectstore,
    scheduler,
)


def _merge() -> dict[str, frozenset[str]]:
    table: dict[str, frozenset[str]] = {}
    for file in _FILES:
        twice = table.keys() & file.ROWS.keys()
        if twice:
            raise ValueError(f"policy has two rows for {', '.join(sorted(twice))}")
        table.update(file.ROWS)
    return table


POLICY: Policy = _merge()
