"""POST /servers/{id}/action."""

from typing import Any

import pytest

from novamesh.types.v1.instance_pb2 import VmState
from novamesh.types.v1.operation_pb2 import OperationKind, RebootType
from tests.gateway.compute_things import made_instance
from tests.gateway.compute_world import World, compute_world

SIMPLE = {
    "os-start": OperationKind.OPERATION_KIND_START,
    "os-stop": OperationKind.OPERATION_KIND_STOP,
    "pause": OperationKind.OPERATION_KIND_PAUSE,
    "suspend": OperationKind.OPERATION_KIND_SUSPEND,
    "resume": OperationKind.OPERATION_KIND_RESUME,
}


async def act(world: World, server_id: str, body: Any, token: str = "demo", version: str = "2.1") -> Any:
    return await world.request(
        "POST", f"/servers/{server_id}/action", json=body, token=token, version=version
    )


@pytest.mark.parametrize(("action", "kind"), SIMPLE.items())
async def test_an_action_is_an_operation(action: str, kind: OperationKind.ValueType) -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        response = await act(world, server.id, {action: None})
        assert response.status == 202
        assert await response.read() == b""
        assert world.operations[0].kind == kind
        assert (await act(world, server.id, {action: None}, "reader")).status == 403
        assert (await act(world, server.id, {action: None}, "other")).status == 404


@pytest.mark.parametrize(
    ("word", "kind"),
    [("SOFT", RebootType.REBOOT_TYPE_SOFT), ("Hard", RebootType.REBOOT_TYPE_HARD)],
)
async def test_reboots(word: str, kind: RebootType.ValueType) -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        assert (await act(world, server.id, {"reboot": {"type": word}})).status == 202
        assert world.operations[0].arguments.reboot_type == kind
        for wrong in ({"type": "gentle"}, {}, None, {"type": "SOFT", "x": 1}):
            assert (await act(world, server.id, {"reboot": wrong})).status == 400


async def test_a_state_that_forbids_it_is_a_conflict_with_those_that_would_not() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        response = await act(world, server.id, {"unpause": None})
        assert response.status == 409
        message = (await response.json())["conflictingRequest"]["message"]
        assert "Cannot 'unpause'" in message
        assert "Allowed states: paused." in message


@pytest.mark.parametrize("body", [{"fly": None}, {}, [], {"pause": None, "unpause": None}, None])
async def test_bodies_that_are_no_action(body: Any) -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        assert (await act(world, server.id, body)).status == 400


async def test_console_output() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        response = await act(world, server.id, {"os-getConsoleOutput": {"length": "10"}})
        assert response.status == 200
        # What is no text is shown as such, what JSON readers choke on is left out.
        assert (await response.json())["output"] == "login: \x1b[0m\N{REPLACEMENT CHARACTER}"
        assert (await act(world, server.id, {"os-getConsoleOutput": {"length": "ten"}})).status == 400
        assert (await act(world, server.id, {"os-getConsoleOutput": {}})).status == 200
        building = world.add(made_instance(2, host=""))
        assert (await act(world, building.id, {"os-getConsoleOutput": {}})).status == 409


async def test_an_administrator_resets_the_state() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        body = {"os-resetState": {"state": "error"}}
        assert (await act(world, server.id, body)).status == 403
        assert (await act(world, server.id, body, "admin")).status == 202
        assert world.instances[server.id].vm_state == VmState.VM_STATE_ERROR
        assert (await act(world, server.id, {"os-resetState": {"state": "x"}}, "admin")).status == 400
