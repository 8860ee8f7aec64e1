"""The servers on compute hosts, however many hosts are asked for."""

from collections.abc import Sequence

from gateway.compute.backends import ComputeRequest
from novamesh.conductor.v1.instance_service_pb2 import InstanceFilter, ListInstancesRequest
from novamesh.types.v1.instance_pb2 import Instance


async def instances_on(call: ComputeRequest, hosts: Sequence[str], *, brief: bool = True) -> list[Instance]:
    """All instances on these hosts, the newest first: one call for each thousand."""
    found: list[Instance] = []
    request = ListInstancesRequest(filter=InstanceFilter(hosts=hosts), brief=brief)
    while hosts:
        answer = await call.state.instances.ListInstances(request, timeout=call.state.timeout)
        found += answer.instances
        if not answer.next_page_token:
            break
        request = ListInstancesRequest(filter=request.filter, brief=brief, page_token=answer.next_page_token)
    return found
