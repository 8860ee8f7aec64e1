"""Real guests through libvirt. See docs/drivers/libvirt.md."""

from drivers.virt.libvirt.daemon import PrivateLibvirtd
from drivers.virt.libvirt.driver import LibvirtDriver
from drivers.virt.libvirt.kvm_probe import KvmProbe, probe_kvm
from drivers.virt.libvirt.options import LibvirtOptions, SpiceOptions, VncOptions

__all__ = [
    "KvmProbe",
    "LibvirtDriver",
    "LibvirtOptions",
    "PrivateLibvirtd",
    "SpiceOptions",
    "VncOptions",
    "probe_kvm",
]
