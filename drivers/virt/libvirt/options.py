"""Options of the libvirt driver: sections `[libvirt]`, `[vnc]` and `[spice]`, and a few of `[DEFAULT]`."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class VncOptions:
    """Section `[vnc]`."""

    enabled: bool = True
    """Give each guest a VNC console."""
    server_listen: str = "127.0.0.1"
    """Address on which guests' consoles listen."""
    server_proxyclient_address: str = "127.0.0.1"
    """Address at which console proxies reach them."""
    keymap: str = ""
    """Keyboard of the console, for example `de`; empty leaves it to the client."""


@dataclass(frozen=True, slots=True)
class SpiceOptions:
    """Section `[spice]`."""

    enabled: bool = False
    """Give each guest a SPICE console."""
    server_listen: str = "127.0.0.1"
    """Address on which guests' consoles listen."""
    server_proxyclient_address: str = "127.0.0.1"
    """Address at which console proxies reach them."""
    agent_enabled: bool = True
    """Give the guest the channel that a SPICE agent inside speaks on."""


@dataclass(frozen=True, slots=True)
class LibvirtOptions:
    """Section `[libvirt]`, and what Nova has in `[DEFAULT]` for this driver alone."""

    connection_uri: str = "qemu:///system"
    """libvirtd to use."""
    virt_type: Literal["kvm", "qemu", "auto"] = "kvm"
    """kvm: the processor's own virtualization; qemu: emulation; auto: kvm when a probe shows that it runs."""
    cpu_mode: Literal["", "none", "host-model", "host-passthrough", "custom", "maximum"] = ""
    """What processor a guest sees; empty for host-model with kvm and maximum with qemu."""
    cpu_model: str = ""
    """Model by name, for cpu_mode custom."""
    hw_machine_type: str = "pc"
    """Machine type; the image property hw_machine_type overrides it."""
    images_type: Literal["qcow2", "raw"] = "qcow2"
    """Root disk: an overlay on the cached image, or a copy of it."""
    snapshot_image_format: Literal["", "qcow2", "raw"] = ""
    """Format of images taken of guests; empty for the root disk's own."""
    disk_cachemode: str = ""
    """QEMU's cache mode of disks, for example `none`; empty for QEMU's choice."""
    instances_path: str = "/var/lib/novamesh/instances"
    """Folder of guests' disks and of the image cache."""
    instance_name_template: str = "instance-%08x"
    """libvirt's name of a guest, from the instance's number."""
    force_raw_images: bool = True
    """Keep cached images raw, so that many guests read one without decompressing it again."""
    remove_unused_original_minimum_age_seconds: int = 86400
    """How long a cached image that no guest uses is kept after its last use."""
    num_threads: int = 16
    """Calls into libvirt under way at once."""
    qemu_img_concurrency: int = 2
    """Conversions and disk creations under way at once."""
    shutdown_retry_interval: float = 10.0
    """Seconds between two presses of a guest's power button while it is shutting down."""
    rng_dev_path: str = "/dev/urandom"
    """Where guests' random number device reads from; empty for no device."""
    mem_stats_period_seconds: int = 10
    """How often the balloon reports the guest's memory; 0 for never."""
    hypervisor_hostname: str = ""
    """Name of this host for the records; empty for libvirt's own."""
    my_ip: str = "127.0.0.1"
    """Address of this host for migrations and console proxies."""
    vnc: VncOptions = field(default_factory=VncOptions)
    """Section `[vnc]`."""
    spice: SpiceOptions = field(default_factory=SpiceOptions)
    """Section `[spice]`."""
