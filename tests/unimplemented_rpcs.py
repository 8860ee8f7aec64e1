"""The page of rpcs that are in the contracts and that nothing answers, made from both.

    python -m tests.unimplemented_rpcs        writes docs/unimplemented-rpcs.md

Compared are the contracts' descriptors and what the servicers that `novamesh up` binds really have.
"""

import importlib
import pkgutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

import novamesh
from cli.config import build
from cli.roles import ROLES
from cli.settings import Settings, defaults
from cli.state import StateDirectory
from cli.whole import certificates
from novamesh.cert.v1 import join_service_pb2
from services.cert.role import JoinServicer
from services.mesh import Neighbours, Node

PAGE = Path(__file__).parent.parent / "docs" / "unimplemented-rpcs.md"
FAKES = {"drivers": {"compute": "fake", "network": "fake"}}
# Served by every role (services/mesh/standard.py) and tested with the mesh.
STANDARD = "novamesh.mesh.v1.ProbeService"
# The cert role binds it to a port of its own, when it starts.
JOIN = join_service_pb2.DESCRIPTOR.services_by_name["JoinService"]
# What of the clouds' abilities waits for the rpcs of a service, or for one rpc.
COMES_WITH = {
    "novamesh.cert.v1.UserCertificateService": "os-certificates, EC2 bundles",
    "novamesh.compute.v1.DiskService": "os-volume_attachments, boot from volume",
    "novamesh.compute.v1.InterfaceService": "os-interface, addFixedIp",
    "novamesh.compute.v1.ResizeService": "resize and migrate between real hosts",
    "novamesh.compute.v1.SnapshotService": "os-assisted-volume-snapshots",
    "novamesh.consoleauth.v1.ConsoleTokenService": "remote-consoles",
    "novamesh.consoles.v1.SessionService": "remote-consoles",
    "novamesh.objectstore.v1.BucketService": "S3",
    "novamesh.objectstore.v1.BundleService": "EC2's RegisterImage",
    "novamesh.objectstore.v1.ObjectService": "S3",
}
HEAD = """\
# Calls that are in the contracts and not there yet

Written by `python -m tests.unimplemented_rpcs` from the contracts and from what the roles bind; a test keeps
it true.

The contracts are whole enough that what comes adds fields, not concepts; the comments in the .proto files say
what each call will do, in which states, and who may make it. Where its role runs, each answers
NotSupportedError (UNIMPLEMENTED) by its own name.

| Contract | Service | Calls | Comes with |
| --- | --- | --- | --- |
"""


def contracts() -> Iterator[ServiceDescriptor]:
    """Every service of the contracts, in the order of their names."""
    for module in sorted(found.name for found in pkgutil.walk_packages(novamesh.__path__, "novamesh.")):
        if module.endswith("_service_pb2"):
            services = importlib.import_module(module).DESCRIPTOR.services_by_name
            yield from (service for service in services.values() if service.full_name != STANDARD)


def bound() -> dict[str, object]:
    """The servicers of all roles by the full name of their service."""
    with tempfile.TemporaryDirectory() as folder:
        state = StateDirectory(Path(folder))
        state.create()
        settings = build(Settings, defaults(state), FAKES)
        found: dict[str, object] = {JOIN.full_name: JoinServicer}
        for name, certificate in certificates(settings, state).items():
            if name in ROLES:
                role = ROLES[name](settings, Node(certificate, settings.mesh.addresses(), Neighbours()))
                found |= {binding.service.full_name: binding.servicer for binding in role.bindings()}
    return found


def missing() -> list[MethodDescriptor]:
    """The rpcs that nothing answers."""
    servicers = bound()
    return [
        method
        for service in contracts()
        for method in service.methods
        if not hasattr(servicers.get(service.full_name), method.name)
    ]


def idle_roles() -> list[str]:
    """Roles with contracts that no process serves yet."""
    return sorted({service.full_name.split(".")[1] for service in contracts()} - ROLES.keys())


def page() -> str:
    """The page."""
    lines = []
    for service, methods in groupby(missing(), key=lambda method: method.containing_service):
        calls = ", ".join(method.name for method in methods)
        contract = service.file.name.removeprefix("novamesh/")
        lines.append(f"| {contract} | {service.name} | {calls} | {COMES_WITH[service.full_name]} |\n")
    idle = ", ".join(idle_roles())
    foot = f"No process serves these roles yet, so that nobody answers at all: {idle}."
    return f"{HEAD}{''.join(lines)}\n{foot}\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"wrote {PAGE}\n")
