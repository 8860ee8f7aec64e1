"""Flavors as the Compute API shows them."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from gateway.compute.backends import ComputeRequest
from gateway.compute.views.links import LinkMaker
from novamesh.types.v1.flavor_pb2 import Flavor

Value = Callable[[Flavor, LinkMaker], Any]


class Field(NamedTuple):
    """A field of a flavor, the microversions that have it, and whether GET /flavors has it too."""

    name: str
    value: Value
    first: int = 1
    last: int = 1000
    brief: bool = False
    # Shown to whom os-flavor-extra-specs:index allows it.
    extra_specs: bool = False


FIELDS: tuple[Field, ...] = (
    Field("id", lambda f, v: f.id, brief=True),
    Field("name", lambda f, v: f.name, brief=True),
    Field("links", lambda f, v: v.links(f.id), brief=True),
    Field("description", lambda f, v: f.description or None, first=55, brief=True),
    Field("ram", lambda f, v: f.memory_mb),
    Field("disk", lambda f, v: f.root_gb),
    Field("vcpus", lambda f, v: f.vcpus),
    Field("swap", lambda f, v: f.swap_mb or "", last=74),
    Field("swap", lambda f, v: f.swap_mb, first=75),
    Field("OS-FLV-EXT-DATA:ephemeral", lambda f, v: f.ephemeral_gb),
    Field("OS-FLV-DISABLED:disabled", lambda f, v: f.disabled, last=101),
    Field("os-flavor-access:is_public", lambda f, v: f.is_public),
    Field("rxtx_factor", lambda f, v: f.rxtx_factor or 1.0, last=101),
    Field("extra_specs", lambda f, v: dict(f.extra_specs), first=61, extra_specs=True),
)


@lru_cache(maxsize=1024)
def _fields(minor: int, brief: bool, extra_specs: bool) -> tuple[tuple[str, Value], ...]:
    return tuple(
        (field.name, field.value)
        for field in FIELDS
        if field.first <= minor <= field.last
        and (field.brief or not brief)
        and (extra_specs or not field.extra_specs)
    )


class FlavorView:
    """Shows flavors to one caller at one microversion."""

    __slots__ = ("_fields", "_links")

    def __init__(self, call: ComputeRequest, *, brief: bool = False) -> None:
        self._links = LinkMaker(call, "flavors")
        extra_specs = call.minor >= 61 and call.allows("os_compute_api:os-flavor-extra-specs:index")
        self._fields = _fields(call.minor, brief, extra_specs)

    def show(self, flavor: Flavor) -> dict[str, Any]:
        """One flavor."""
        return {name: value(flavor, self._links) for name, value in self._fields}
