"""What is not served says so by its own name, and the docs list it."""

import pytest

from cli.roles import ROLES
from drivers.virt.fake import FakeDriver, FakeOptions
from novamesh.compute.v1.disk_service_pb2 import AttachVolumeRequest
from novamesh.compute.v1.disk_service_pb2_grpc import DiskServiceStub
from novamesh.failures import NotSupportedError
from services.compute.images import MeshImages
from services.compute.options import ComputeOptions
from services.compute.role import ComputeRole
from services.mesh.testing import ServiceRole, local_node
from tests import unimplemented_rpcs


def test_the_page_is_true() -> None:
    assert unimplemented_rpcs.PAGE.read_text() == unimplemented_rpcs.page(), (
        "docs/unimplemented-rpcs.md is not true any more: python -m tests.unimplemented_rpcs"
    )


def test_roles_that_run_bind_all_their_contracts() -> None:
    served = unimplemented_rpcs.bound()
    forgotten = {
        service.full_name
        for service in unimplemented_rpcs.contracts()
        if service.full_name.split(".")[1] in ROLES and service.full_name not in served
    }
    assert not forgotten, f"bind them, with services.mesh.unserved if need be: {', '.join(sorted(forgotten))}"


@pytest.mark.parametrize("wire", [False, True])
async def test_an_unserved_call_answers_by_its_own_name(wire: bool) -> None:
    async with local_node(identity="conductor", wire=wire) as node:
        host = await node.peer("compute")
        role = ComputeRole(host, ComputeOptions(), FakeDriver(FakeOptions(), MeshImages(host)))
        # The contracts alone: a compute role that starts wants a conductor.
        await host.add(ServiceRole("compute", role.bindings()))
        stub = DiskServiceStub(node.channel("compute"))
        with pytest.raises(NotSupportedError, match=r"compute\.v1\.DiskService/AttachVolume"):
            await stub.AttachVolume(AttachVolumeRequest())
