"""Drivers that are imported where they are configured."""

import subprocess
import sys
from pkgutil import resolve_name

from cli.roles import LIBVIRT, LINUX_NETWORK
from drivers.network.linux.driver import LinuxNetworkDriver
from drivers.virt.libvirt.driver import LibvirtDriver


def test_names_lead_to_drivers() -> None:
    assert resolve_name(LIBVIRT) is LibvirtDriver
    assert resolve_name(LINUX_NETWORK) is LinuxNetworkDriver


def test_a_cloud_without_them_does_not_load_them() -> None:
    code = "import sys; import cli.commands.up; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "drivers.virt.fake" in done.stdout.split()
    assert not {"libvirt", "pyroute2"} & set(done.stdout.split())
