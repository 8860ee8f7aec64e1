"""What can be set about a scheduler."""

from dataclasses import dataclass

JUNO_FILTERS = (
    "RetryFilter",
    "AvailabilityZoneFilter",
    "RamFilter",
    "CoreFilter",
    "DiskFilter",
    "ComputeFilter",
    "ComputeCapabilitiesFilter",
    "ImagePropertiesFilter",
    "ServerGroupAntiAffinityFilter",
    "ServerGroupAffinityFilter",
)
# Not SimpleCIDRAffinityFilter and JsonFilter, as upstream: by asking often enough a user would learn hosts'
# names and addresses from them.
DEFAULT_FILTERS = (*JUNO_FILTERS, "SameHostFilter", "DifferentHostFilter")


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """Section `[filter_scheduler]`; the names are Nova's where Nova has the option."""

    enabled_filters: tuple[str, ...] = DEFAULT_FILTERS
    """Filters by name, in the order in which they run and are told of when none is left."""
    weight_classes: tuple[str, ...] = (
        "RAMWeigher",
        "ServerGroupSoftAffinityWeigher",
        "ServerGroupSoftAntiAffinityWeigher",
    )
    """Weighers by name; their weights are added up."""
    max_io_ops_per_host: int = 8
    """Instances with a task under way from which on IoOpsFilter leaves a host out."""
    max_instances_per_host: int = 50
    """Instances from which on NumInstancesFilter leaves a host out."""
    aggregate_image_properties_isolation_namespace: str = ""
    """Beginning of the properties that AggregateImagePropertiesIsolation looks at; empty for all."""
    aggregate_image_properties_isolation_separator: str = "."
    """What stands between that and the rest of a property's name."""
    host_subset_size: int = 1
    """Choose at random among this many of the best hosts. Larger values make schedulers collide less."""
    shuffle_best_same_weighed_hosts: bool = True
    """Choose at random among hosts of the same weight. Nova's default is false, with which several
    schedulers that see an empty cloud all begin with the same host."""
    ram_weight_multiplier: float = 1.0
    """How much free memory counts; below 0 fills hosts up instead of spreading."""
    soft_affinity_weight_multiplier: float = 10.0
    """How much members of the same soft-affinity group on a host count. Nova's default is 1.0, with which an
    empty host next door weighs as much as the group."""
    soft_anti_affinity_weight_multiplier: float = 10.0
    """The same for soft-anti-affinity, where fewer members are better."""
    proposal_lifetime: float = 5.0
    """Seconds for which a proposed host counts as used while no claim of it has been seen."""
    seed: int | None = None
    """Makes random choices repeatable, for tests."""

    def __post_init__(self) -> None:
        if self.host_subset_size < 1:
            raise ValueError(f"host_subset_size must be 1 or more, not {self.host_subset_size}")
        if self.proposal_lifetime < 0:
            raise ValueError(f"proposal_lifetime must not be below 0, as {self.proposal_lifetime:g} is")
