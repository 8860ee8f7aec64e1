"""Extra specs of a flavor: hints to scheduler and driver."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.extra_specs import wrong
from gateway.compute.flavors import find
from gateway.compute.rewriting import rewritten
from gateway.faults import HttpError
from gateway.routes import Route
from gateway.schemas import Schema
from novamesh.conductor.v1.flavor_service_pb2 import UpdateFlavorRequest
from novamesh.types.v1.flavor_pb2 import Flavor

# The first microversion that checks what is known.
_CHECKED = 86
_RULE = "os_compute_api:os-flavor-extra-specs:"


async def index(call: ComputeRequest) -> object:
    """GET all of them."""
    return {"extra_specs": dict((await find(call, call.path["flavor_id"])).extra_specs)}


async def show(call: ComputeRequest) -> object:
    """GET one."""
    key = call.path["id"]
    specs = (await find(call, call.path["flavor_id"])).extra_specs
    if key not in specs:
        raise _missing(call)
    return {key: specs[key]}


async def create(call: ComputeRequest) -> object:
    """POST: add some."""
    given = _checked(call, call.body["extra_specs"])
    await _change(call, lambda old: {**old, **given})
    return call.body


async def update(call: ComputeRequest) -> object:
    """PUT one."""
    key = call.path["id"]
    if key not in call.body:
        raise HttpError(400, "Request body and URI mismatch")
    given = _checked(call, call.body)
    await _change(call, lambda old: {**old, **given})
    return call.body


async def delete(call: ComputeRequest) -> None:
    """DELETE one."""
    key = call.path["id"]

    def without(old: dict[str, str]) -> dict[str, str]:
        if key not in old:
            raise _missing(call)
        return {name: value for name, value in old.items() if name != key}

    await _change(call, without)


def _checked(call: ComputeRequest, given: Mapping[str, Any]) -> dict[str, str]:
    """Extra specs as they are kept, as text. Raises HttpError 400."""
    specs = {key: str(value) for key, value in given.items()}
    if call.minor >= _CHECKED:
        for key, value in specs.items():
            if refusal := wrong(key, value):
                raise HttpError(400, refusal)
    return specs


def _missing(call: ComputeRequest) -> HttpError:
    return HttpError(404, f"Flavor {call.path['flavor_id']} has no extra specs with key {call.path['id']}.")


async def _change(call: ComputeRequest, changed: Callable[[dict[str, str]], dict[str, str]]) -> None:
    async def attempt() -> None:
        flavor = await find(call, call.path["flavor_id"])
        specs = changed(dict(flavor.extra_specs))
        request = UpdateFlavorRequest(
            flavor=Flavor(id=flavor.id, generation=flavor.generation, extra_specs=specs),
            update_mask=["extra_specs"],
        )
        await call.state.flavors.UpdateFlavor(request, timeout=call.state.timeout)

    await rewritten(attempt)


_SPECS: Schema = {
    "type": "object",
    "patternProperties": {"^[a-zA-Z0-9-_:. ]{1,255}$": {"type": ["string", "number"], "maxLength": 255}},
    "additionalProperties": False,
}
_PATH = "/flavors/{flavor_id}/os-extra_specs"

ROUTES = (
    Route("GET", _PATH, _RULE + "index", index),
    Route("POST", _PATH, _RULE + "create", create, body=((1, p.wrapped("extra_specs", _SPECS)),)),
    Route("GET", _PATH + "/{id}", _RULE + "show", show),
    Route(
        "PUT",
        _PATH + "/{id}",
        _RULE + "update",
        update,
        body=((1, {**_SPECS, "minProperties": 1, "maxProperties": 1}),),
    ),
    Route("DELETE", _PATH + "/{id}", _RULE + "delete", delete),
)
