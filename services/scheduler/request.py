"""What filters and weighers see of a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from novamesh.scheduler.v1.destination_service_pb2 import RequestSpec
from services.scheduler.hosts import Claim


@dataclass(slots=True)
class Request:
    """One instance of a RequestSpec, with the group's hosts as the instances before it have made them."""

    claim: Claim
    project_id: str = ""
    flavor_name: str = ""
    availability_zone: str = ""
    tried_hosts: tuple[str, ...] = ()
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    image_properties: Mapping[str, str] = field(default_factory=dict)
    scheduler_hints: Mapping[str, str] = field(default_factory=dict)
    group_policy: str = ""
    group_hosts: list[str] = field(default_factory=list)
    # Members that one host may have under anti-affinity.
    group_max_server_per_host: int = 1
    # Hosts of the instances that the hints same_host and different_host name.
    same_hosts: tuple[str, ...] = ()
    different_hosts: tuple[str, ...] = ()


def request_of(spec: RequestSpec) -> Request:
    """The request for the first instance of a spec."""
    flavor = spec.flavor
    return Request(
        # Swap is rounded up to whole GiB, as the conductor claims it.
        claim=Claim(
            flavor.vcpus, flavor.memory_mb, flavor.root_gb + flavor.ephemeral_gb + -(-flavor.swap_mb // 1024)
        ),
        project_id=spec.project_id,
        flavor_name=flavor.name,
        availability_zone=spec.availability_zone,
        tried_hosts=tuple(spec.tried_hosts),
        extra_specs=dict(flavor.extra_specs),
        image_properties=dict(spec.image_properties),
        scheduler_hints=dict(spec.scheduler_hints),
        group_policy=spec.group_policy,
        group_hosts=list(spec.group_hosts),
        group_max_server_per_host=spec.group_max_server_per_host or 1,
        same_hosts=tuple(spec.same_hosts),
        different_hosts=tuple(spec.different_hosts),
    )
