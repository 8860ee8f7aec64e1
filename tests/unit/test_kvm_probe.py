"""The KVM probe, as far as it can be shown on any machine."""

from pathlib import Path

import pytest

from drivers.virt.libvirt import kvm_probe


@pytest.fixture(autouse=True)
def on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def probe(folder: Path, flags: str, device: Path) -> kvm_probe.KvmProbe:
    cpuinfo = folder / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} sse\n")
    return kvm_probe.probe_kvm(cpuinfo=str(cpuinfo), device=str(device))


def test_flags_come_first(tmp_path: Path) -> None:
    found = probe(tmp_path, "", tmp_path / "kvm")
    assert not found.usable
    assert "vmx" in found.reason


def test_missing_device(tmp_path: Path) -> None:
    found = probe(tmp_path, "svm", tmp_path / "kvm")
    assert not found.usable
    assert "modprobe" in found.reason


def test_device_that_opens_but_runs_nothing(tmp_path: Path) -> None:
    """The case that the probe is for."""
    device = tmp_path / "kvm"
    device.write_bytes(b"")
    found = probe(tmp_path, "vmx", device)
    assert not found.usable
    assert "virtual processor" in found.reason
