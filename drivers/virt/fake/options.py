"""Options of the fake driver, section `[fake]`."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FakeOptions:
    """What the pretended host has, and how it misbehaves."""

    hypervisor_hostname: str = "fake-mini"
    """Name of the pretended host."""
    host_ip: str = "127.0.0.1"
    """Address that consoles are said to listen on."""
    vcpus: int = 1000
    """Physical CPU threads."""
    memory_mb: int = 8_000_000
    """Memory in MiB."""
    disk_gb: int = 600_000
    """Disk in GiB."""
    hypervisor_version: int = 1_000_000
    """Version of the pretended hypervisor: a guest that runs goes to none that is older."""
    cpu_model: str = "fake"
    """Model of the pretended CPU: a guest that runs goes to none of another model."""
    shared_storage: bool = False
    """Pretend that this host shares its guests' disks with others."""
    migration_seconds: float = 0.0
    """Seconds that a live migration takes to send a guest."""
    delays: Mapping[str, float] = field(default_factory=dict)
    """Seconds that a method takes, by its name, for example `{"spawn": 0.5}`; `*` for all others."""
    journal: str | None = None
    """File that guests are written to, so that they outlive the process; none by default."""
