"""What can be set about a compute host."""

from dataclasses import dataclass
from typing import Literal

RunningDeletedAction = Literal["reap", "shutdown", "log", "noop"]


@dataclass(frozen=True, slots=True)
class ComputeOptions:
    """Section `[compute]`; the names are Nova's where Nova has the option."""

    my_ip: str = ""
    """Address that others reach this host at; empty for the one that the role listens on."""
    network_address: str = ""
    """Where this host's network role answers; empty when it has none."""
    cpu_allocation_ratio: float = 16.0
    """How many virtual CPUs may be claimed for each physical one."""
    ram_allocation_ratio: float = 1.5
    """How much memory may be claimed for each MiB."""
    disk_allocation_ratio: float = 1.0
    """How much disk may be claimed for each GiB."""
    reserved_host_memory_mb: int = 512
    """Memory in MiB that is the host's own."""
    reserved_host_disk_mb: int = 0
    """Disk in MiB that is the host's own."""
    reserved_host_cpus: int = 0
    """CPUs that are the host's own."""
    report_interval: float = 10.0
    """Seconds between heartbeats."""
    sync_power_state_interval: float = 600.0
    """Seconds between comparisons of all guests with their records; 0 for the one at the start only."""
    running_deleted_instance_action: RunningDeletedAction = "reap"
    """What becomes of a guest whose instance is deleted or elsewhere: reap destroys it, shutdown powers it
    off, log only says so, noop does nothing."""
    unclaimed_guest_grace: float = 60.0
    """Seconds after which a guest that the conductor has no record of at all counts as deleted. It has to be
    without a record at both ends of that time."""
    resume_guests_state_on_host_boot: bool = False
    """Start guests again that should be running and are off when this role starts, as after a reboot of the
    host. Otherwise they are reported as they are, and their instances become STOPPED."""
    image_cache_manager_interval: float = 2400.0
    """Seconds between looks for cached images that no guest uses any more; 0 for none."""
    max_concurrent_builds: int = 10
    """Builds at a time; others wait. 0 for any number."""

    def __post_init__(self) -> None:
        for name in (
            "cpu_allocation_ratio",
            "ram_allocation_ratio",
            "disk_allocation_ratio",
            "report_interval",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name):g}")
        if self.max_concurrent_builds < 0:
            raise ValueError("max_concurrent_builds must be 0, for any number, or more")
