"""What libvirt's word on a backup job means for the snapshot that waits for it."""

from typing import Any

import pytest

from drivers.virt.libvirt import snapshots
from drivers.virt.libvirt.api import libvirt
from novamesh.failures import DriverFailureError


class Domain:
    """A domain whose backup was cancelled; it is its own connection. `looks` is how long it seems to run."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def lookupByUUIDString(self, _: str) -> "Domain":
        return self

    def state(self) -> tuple[int, int]:
        self.looks -= 1
        return (libvirt.VIR_DOMAIN_RUNNING if self.looks >= 0 else libvirt.VIR_DOMAIN_SHUTOFF), 0

    def hasManagedSaveImage(self) -> bool:
        return False

    def jobStats(self, flags: int = 0) -> dict[str, Any]:
        if flags & libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED:
            return {"type": libvirt.VIR_DOMAIN_JOB_CANCELLED}
        return {"type": libvirt.VIR_DOMAIN_JOB_NONE}


def test_job_that_ends_just_before_its_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU cancels its jobs when it is ended, and libvirt says so while it still takes the guest to run."""
    monkeypatch.setattr(snapshots, "_FIRST_PAUSE", 0)
    assert snapshots._percent("one", Domain(looks=4)) is None


def test_job_that_fails_while_its_guest_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_END_TIMEOUT", 0.05)
    with pytest.raises(DriverFailureError, match="The copy of the disk ended"):
        snapshots._percent("one", Domain(looks=10**6))
