"""The resources that quotas limit, and the microversions that show each."""

from typing import NamedTuple

from novamesh.conductor.v1.quota_service_pb2 import Quota


class Limited(NamedTuple):
    """A resource: its name in quotas, its names in GET /limits, and the last microversion that shows it."""

    name: str
    last: int = 1000
    # In os-limits: the names of the limit, each with the last microversion that has it.
    limits: tuple[tuple[str, int], ...] = ()
    # And the name of what is in use.
    used: str = ""


RESOURCES = (
    Limited("instances", limits=(("maxTotalInstances", 1000),), used="totalInstancesUsed"),
    Limited("cores", limits=(("maxTotalCores", 1000),), used="totalCoresUsed"),
    Limited("ram", limits=(("maxTotalRAMSize", 1000),), used="totalRAMUsed"),
    Limited("metadata_items", limits=(("maxServerMeta", 1000), ("maxImageMeta", 38))),
    Limited("key_pairs", limits=(("maxTotalKeypairs", 1000),)),
    Limited("server_groups", limits=(("maxServerGroups", 1000),), used="totalServerGroupsUsed"),
    Limited("server_group_members", limits=(("maxServerGroupMembers", 1000),)),
    Limited("fixed_ips", last=35),
    Limited("floating_ips", last=35, limits=(("maxTotalFloatingIps", 35),), used="totalFloatingIpsUsed"),
    Limited("security_groups", last=35, limits=(("maxSecurityGroups", 35),), used="totalSecurityGroupsUsed"),
    Limited("security_group_rules", last=35, limits=(("maxSecurityGroupRules", 35),)),
    Limited("injected_files", last=56, limits=(("maxPersonality", 56),)),
    Limited("injected_file_content_bytes", last=56, limits=(("maxPersonalitySize", 56),)),
    Limited("injected_file_path_bytes", last=56),
)


def shown_at(minor: int) -> tuple[Limited, ...]:
    """The resources of a microversion."""
    return tuple(resource for resource in RESOURCES if minor <= resource.last)


def by_name(quotas: list[Quota]) -> dict[str, Quota]:
    """Quotas by resource."""
    return {quota.resource: quota for quota in quotas}
