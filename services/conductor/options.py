"""What can be set about a conductor."""

from dataclasses import dataclass, field

from services.conductor.audit_periods import parse_period


@dataclass(frozen=True, slots=True)
class QuotaOptions:
    """Section `[quota]`: the limits that hold where no others are set; names and values are Nova's. -1 is
    no limit."""

    quota_instances: int = 10
    """Instances of a project."""
    quota_cores: int = 20
    """Virtual CPUs of a project."""
    quota_ram: int = 51200
    """MiB of memory of a project."""
    quota_metadata_items: int = 128
    """Metadata items of one instance."""
    quota_key_pairs: int = 100
    """Key pairs of a user."""
    quota_server_groups: int = 10
    """Server groups of a project."""
    quota_server_group_members: int = 10
    """Instances in one server group."""
    quota_injected_files: int = 5
    """Files in one request."""
    quota_injected_file_content_bytes: int = 10240
    """Bytes of one such file."""
    quota_injected_file_path_length: int = 255
    """Bytes of one such file's path."""
    quota_fixed_ips: int = -1
    """Fixed addresses of a project."""
    quota_floating_ips: int = 10
    """Floating addresses of a project."""
    quota_security_groups: int = 10
    """Security groups of a project."""
    quota_security_group_rules: int = 20
    """Rules of one security group."""
    quota_networks: int = 3
    """Networks of a project."""

    def by_resource(self) -> dict[str, int]:
        """The limits by the names that the API gives the resources."""
        return {
            "instances": self.quota_instances,
            "cores": self.quota_cores,
            "ram": self.quota_ram,
            "metadata_items": self.quota_metadata_items,
            "key_pairs": self.quota_key_pairs,
            "server_groups": self.quota_server_groups,
            "server_group_members": self.quota_server_group_members,
            "injected_files": self.quota_injected_files,
            "injected_file_content_bytes": self.quota_injected_file_content_bytes,
            "injected_file_path_bytes": self.quota_injected_file_path_length,
            "fixed_ips": self.quota_fixed_ips,
            "floating_ips": self.quota_floating_ips,
            "security_groups": self.quota_security_groups,
            "security_group_rules": self.quota_security_group_rules,
            "networks": self.quota_networks,
        }


@dataclass(frozen=True, slots=True)
class ConductorOptions:
    """Section `[conductor]`; the names are Nova's where Nova has the option."""

    service_down_time: float = 60.0
    """Seconds without a heartbeat after which a host or role counts as down."""
    report_interval: float = 10.0
    """Seconds between the conductor's own heartbeats."""
    default_availability_zone: str = "nova"
    """Zone of hosts that no aggregate gives one, the same on all conductors. Taken up when one starts."""
    max_attempts: int = 3
    """Hosts that one instance is tried on."""
    operation_attempts: int = 10
    """How often an operation is taken up before it is given up."""
    operation_lease: float = 15.0
    """Seconds that a conductor holds an operation without a sign of life before another takes it."""
    sweep_interval: float = 1.0
    """Seconds between looks for operations that other conductors have left."""
    max_operations: int = 500
    """Operations that this conductor works on at one time."""
    retry_interval: float = 1.0
    """Seconds before the second attempt of an operation; each further one waits twice as long."""
    max_retry_interval: float = 30.0
    """Longest wait between two attempts, in seconds."""
    build_timeout: float = 3600.0
    """Seconds that a compute host gets for a build, the image's download included."""
    action_timeout: float = 600.0
    """Seconds that a compute host gets for anything else, beyond a guest's own shutdown_timeout."""
    call_timeout: float = 30.0
    """Seconds for a scheduler or a host's network to answer."""
    shutdown_timeout: int = 60
    """Seconds that a guest gets to shut down before it is powered off."""
    allow_resize_to_same_host: bool = True
    """Resize on the host where the instance is, when the scheduler chooses that. Unlike Nova's, since a cloud
    often begins with one host."""
    resize_confirm_window: int = 0
    """Seconds after which a resize or migration that nobody has confirmed or reverted is confirmed; 0 for
    never."""
    precache_concurrency: int = 1
    """Hosts that fetch images into their caches at a time, when an aggregate is asked to."""
    instance_usage_audit: bool = False
    """Write a line into the log for each instance that existed, once a period: what bills are made of."""
    instance_usage_audit_period: str = "month"
    """hour, day, month or year; `day@6` is a day that begins at six o'clock (UTC)."""
    usage_audit_interval: float = 60.0
    """Seconds between looks for a period that has ended and is not audited."""
    shelved_offload_time: int = 0
    """Seconds that a shelved instance keeps its host, so that it is back soon when it is unshelved; 0 to give
    the host up at once, -1 to keep it until an administrator offloads the instance."""
    shelved_poll_interval: float = 3600.0
    """Seconds between looks for shelved instances whose time is over."""
    force_config_drive: bool = False
    """Give every new instance a config drive, asked for or not."""
    max_concurrent_live_migrations: int = 1
    """Guests that one host sends to others at a time; further ones wait. 0 for any number."""
    reclaim_instance_interval: int = 0
    """Seconds that deleted instances are kept, powered off, before they are gone; a restore takes such a
    delete back. 0: a delete is a delete."""
    alternates: int = 3
    """Further hosts that the scheduler names for each instance, for when the best one is taken."""
    watch_interval: float = 0.015
    """Seconds over which changes gather before a watcher is sent them."""
    poll_interval: float = 1.0
    """Seconds between looks for what other conductors have changed, while somebody watches."""
    quota: QuotaOptions = field(default_factory=QuotaOptions)
    """Limits."""

    def __post_init__(self) -> None:
        if self.shelved_offload_time < -1:
            raise ValueError(f"shelved_offload_time must be -1 or more, not {self.shelved_offload_time}")
        if self.shelved_poll_interval <= 0:
            raise ValueError(f"shelved_poll_interval must be above 0, not {self.shelved_poll_interval:g}")
        if self.precache_concurrency < 1:
            raise ValueError(f"precache_concurrency must be 1 or more, not {self.precache_concurrency}")
        parse_period(self.instance_usage_audit_period)
