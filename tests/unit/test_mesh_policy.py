"""Every rpc has a row in the policy, and every row an rpc."""

import importlib
import pkgutil
import re
from pathlib import Path

from google.protobuf.descriptor import ServiceDescriptor

import novamesh
from services.mesh.policy import POLICY
from services.mesh.policy.roles import EVERYBODY

PROTOS = Path(__file__).parents[2] / "protos"


def services() -> list[ServiceDescriptor]:
    """Every service of the contracts."""
    found = []
    for module in pkgutil.walk_packages(novamesh.__path__, "novamesh."):
        if module.name.endswith("_pb2"):
            descriptor = importlib.import_module(module.name).DESCRIPTOR
            found.extend(descriptor.services_by_name.values())
    return found


def methods() -> set[str]:
    """Every rpc of the contracts by its full name."""
    return {f"/{service.full_name}/{method.name}" for service in services() for method in service.methods}


def test_every_rpc_has_a_row() -> None:
    missing = sorted(methods() - POLICY.keys())
    assert not missing, f"add rows in services/mesh/policy for {', '.join(missing)}"


def test_every_row_has_an_rpc() -> None:
    known = methods()
    left_over = sorted(name for name in POLICY if name.startswith("/novamesh.") and name not in known)
    assert not left_over, f"remove the rows of {', '.join(left_over)}"


def test_rows_name_roles_that_exist() -> None:
    strange = {
        name: callers - EVERYBODY
        for name, callers in POLICY.items()
        if callers - EVERYBODY - {"stranger"} or not callers
    }
    assert not strange


def test_strangers_may_only_join() -> None:
    assert [name for name, callers in POLICY.items() if "stranger" in callers] == [
        "/novamesh.cert.v1.JoinService/IssueCertificate"
    ]


def test_the_callers_line_says_what_the_row_says() -> None:
    wrong = []
    for service in services():
        location = _comments(service)
        for method in service.methods:
            name = f"/{service.full_name}/{method.name}"
            said = location.get(method.name)
            if said is None or name not in POLICY:
                continue
            callers = EVERYBODY if "everybody" in said else frozenset(said.replace(",", " ").split())
            if callers != POLICY[name]:
                wrong.append(f"{name}: its comment says {sorted(callers)}, its row {sorted(POLICY[name])}")
    assert not wrong, "\n".join(wrong)


def _comments(service: ServiceDescriptor) -> dict[str, str]:
    """What the `Callers:` line of each rpc says, from the contract's text."""
    text = (PROTOS / service.file.name).read_text().splitlines()
    said: dict[str, str] = {}
    line_before = ""
    within = False
    for line in text:
        stripped = line.strip()
        if stripped.startswith(f"service {service.name} "):
            within = True
        elif within and stripped.startswith("}") and not line.startswith(" "):
            break
        elif within and stripped.startswith("rpc ") and line_before.startswith("// Callers:"):
            name = stripped.removeprefix("rpc ").split("(")[0]
            callers = line_before.removeprefix("// Callers:").rstrip(".")
            # What stands in brackets says on what condition, which the servicer checks.
            said[name] = re.sub(r"\([^)]*\)", "", callers).strip()
        if stripped:
            line_before = stripped
    return said
