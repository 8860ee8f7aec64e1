"""Matches an image's properties with the guests that hosts can run."""

import re
from collections.abc import Mapping

from services.scheduler.filters.kind_cache import KindCache
from services.scheduler.hosts import HostKind, HostTable, Mask
from services.scheduler.request import Request

# Each property by the names that images use, the newest first.
_ARCHITECTURE = ("hw_architecture", "architecture")
_HYPERVISOR = ("img_hv_type", "hypervisor_type")
_MODE = ("hw_vm_mode", "vm_mode")
_VERSION = ("img_hv_requested_version", "hypervisor_version_requires")

# Other names of the same things, as Nova's images may carry them.
_ARCHITECTURES = {"amd64": "x86_64", "x86": "i686", "i386": "i686", "arm64": "aarch64"}
_HYPERVISORS = {"xapi": "xen", "powervm": "phyp"}
_MODES = {"pv": "xen", "hv": "hvm", "baremetal": "hvm"}

_TERM = re.compile(r"\s*(<=|>=|==|!=|<|>|=)?\s*(\d+(?:\.\d+)*)\s*")

Wanted = tuple[str, str, str, str]


class ImagePropertiesFilter:
    """Hosts that run guests of the image's architecture, hypervisor type, mode and hypervisor version."""

    name = "ImagePropertiesFilter"

    def __init__(self) -> None:
        self._kinds = KindCache(runs)

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that can run the image; all of them for one that asks for nothing."""
        wanted = wanted_by(request.image_properties)
        if not any(wanted):
            return None
        return self._kinds.mask(hosts, wanted)


def wanted_by(properties: Mapping[str, str]) -> Wanted:
    """Architecture, hypervisor type, mode and version that an image asks for, each empty for any."""
    architecture = _first(properties, _ARCHITECTURE).lower()
    hypervisor = _first(properties, _HYPERVISOR).lower()
    mode = _first(properties, _MODE).lower()
    return (
        _ARCHITECTURES.get(architecture, architecture),
        _HYPERVISORS.get(hypervisor, hypervisor),
        _MODES.get(mode, mode),
        _first(properties, _VERSION),
    )


def runs(kind: HostKind, wanted: Wanted) -> bool:
    """Whether hosts of this kind run what an image asks for."""
    if wanted[3] and not version_allowed(kind.hypervisor_version, wanted[3]):
        return False
    asked = wanted[:3]
    if not any(asked):
        return True
    return any(
        all(not want or want == has for want, has in zip(asked, supported.lower().split(","), strict=False))
        for supported in kind.supported_instances
    )


def version_allowed(version: int, predicate: str) -> bool:
    """Whether a version (1000000 * major + 1000 * minor + release) fits, for example, `>=4.1,<6`.

    A predicate that can't be understood allows nothing.
    """
    for part in predicate.strip("()[] ").split(","):
        term = _TERM.fullmatch(part)
        if term is None:
            return False
        numbers = [int(n) for n in term[2].split(".")[:3]] + [0, 0]
        asked = numbers[0] * 1_000_000 + numbers[1] * 1000 + numbers[2]
        if not _compare(version, term[1] or "==", asked):
            return False
    return True


def _compare(left: int, sign: str, right: int) -> bool:
    if sign == "!=":
        return left != right
    if sign in ("==", "="):
        return left == right
    if sign.endswith("=") and left == right:
        return True
    return left < right if sign[0] == "<" else left > right


def _first(properties: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((properties[name] for name in names if properties.get(name)), "")
