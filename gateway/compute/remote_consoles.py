"""Remote consoles, which this cloud does not have: checked as Nova checks them, then refused as it refuses
a type of console that no host offers."""

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find
from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.routes import Route
from gateway.schemas import Schema

_RULE = "os_compute_api:os-remote-consoles"
_REFUSAL = "Unavailable console type: this cloud has no remote consoles."
# The actions of 2.1 to 2.5, and the types that each takes.
_ACTIONS = {
    "os-getVNCConsole": ("novnc", "xvpvnc"),
    "os-getSPICEConsole": ("spice-html5",),
    "os-getRDPConsole": ("rdp-html5",),
    "os-getSerialConsole": ("serial",),
}
# (first minor version, protocols, types)
_KINDS = (
    (6, ("vnc", "spice", "rdp", "serial"), ("novnc", "xvpvnc", "rdp-html5", "spice-html5", "serial")),
    (8, ("mks",), ("webmks",)),
    (99, (), ("spice-direct",)),
)


def _unavailable(kind: str) -> HttpError:
    return HttpError(400, f"Unavailable console type {kind}: this cloud has no remote consoles.")


async def create(call: ComputeRequest) -> object:
    """POST remote-consoles."""
    await find(call)
    raise _unavailable(call.body["remote_console"]["type"])


def _act(action: str) -> Handler:
    async def act(call: ComputeRequest) -> object:
        await find(call)
        raise _unavailable(call.body[action]["type"])

    return act


def _rows() -> tuple[tuple[int, Schema], ...]:
    protocols: list[str] = []
    types: list[str] = []
    rows = []
    for first, more_protocols, more_types in _KINDS:
        protocols += more_protocols
        types += more_types
        console = p.record(
            {
                "protocol": {"type": "string", "enum": list(protocols)},
                "type": {"type": "string", "enum": list(types)},
            },
            ("protocol", "type"),
        )
        rows.append((first, p.wrapped("remote_console", console)))
    return tuple(rows)


ROUTES = (
    *(
        Route(
            "POST",
            "/servers/{id}/action",
            _RULE,
            _act(action),
            status=400,
            body=(
                (
                    1,
                    p.wrapped(action, p.record({"type": {"type": "string", "enum": list(types)}}, ("type",))),
                ),
            ),
            action=action,
            last=5,
            refusal=_REFUSAL,
        )
        for action, types in _ACTIONS.items()
    ),
    Route(
        "POST",
        "/servers/{server_id}/remote-consoles",
        _RULE,
        create,
        status=400,
        body=_rows(),
        first=6,
        refusal=_REFUSAL,
    ),
)
