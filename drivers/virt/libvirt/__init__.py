"""Real guests through libvirt. See docs/drivers/libvirt.md.

LibvirtDriver itself is in drivers.virt.libvirt.driver: it brings libvirt's library, which a process that only
knows the driver's options can do without.
"""

from drivers.virt.libvirt.daemon import PrivateLibvirtd
from drivers.virt.libvirt.kvm_probe import KvmProbe, probe_kvm
from drivers.virt.libvirt.options import LibvirtOptions, SpiceOptions, VncOptions

__all__ = [
    "KvmProbe",
    "LibvirtOptions",
    "PrivateLibvirtd",
    "SpiceOptions",
    "VncOptions",
    "probe_kvm",
]
