"""The least that boots: the distribution's kernel and an initrd with busybox and a few modules."""

import contextlib
import gzip
import tempfile
from pathlib import Path

import pytest

from guest.build import KERNEL_PACKAGES, Modules, dependencies, known, unpack

_BUILD = Path(__file__).resolve().parent.parent.parent / ".build"
# Disks, config drive (a CD on an IDE channel) and power button.
_MODULES = ("virtio_pci", "virtio_blk", "ata_piix", "sr_mod", "isofs", "button", "evdev")

_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /mnt /tmp /sbin /etc/acpi/PWRF
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
exec </dev/console >/dev/console 2>&1
while read m; do insmod /modules/$m; done </modules/order
printf '#!/bin/busybox sh\\necho GUEST-BUTTON >/dev/console\\npoweroff -f\\n' >/etc/acpi/PWRF/00000080
chmod 755 /etc/acpi/PWRF/00000080
acpid -l /tmp/acpid.log -c /etc/acpi
for d in /sys/block/*; do echo "GUEST-DISK ${d##*/} $(cat $d/size)"; done
echo "GUEST-EPHEMERAL $(findfs LABEL=ephemeral0)"
[ -b /dev/vdc ] && swapon /dev/vdc && echo GUEST-SWAP
d=$(findfs LABEL=config-2) && mount -o ro $d /mnt
[ -d /mnt/openstack ] && echo "GUEST-CONFIG $(cat /mnt/openstack/latest/meta_data.json)"
echo "GUEST-CMDLINE $(cat /proc/cmdline)"
echo GUEST-READY
while sleep 1; do echo GUEST-TICK; done
"""


def kernel() -> Path:
    """The distribution's kernel for guests."""
    return max(_packages().glob("boot/vmlinuz-*"))


def initrd() -> bytes:
    """An initrd whose init prints what it finds and obeys the power button."""
    tree = _packages()
    busybox = next(p for p in (tree / "bin/busybox", tree / "usr/bin/busybox") if p.exists())
    modules = list(Modules(tree).ordered(_MODULES))
    files = {
        "init": (_INIT.encode(), 0o755),
        "bin/busybox": (busybox.read_bytes(), 0o755),
        "modules/order": ("".join(f"{name}.ko\n" for name, _ in modules).encode(), 0o644),
    }
    files |= {f"modules/{name}.ko": (code, 0o644) for name, code in modules}
    entries = [_entry(name, b"", 0o40755) for name in ("bin", "modules", "dev")]
    # The kernel opens /dev/console before init has mounted anything.
    entries.append(_entry("dev/console", b"", 0o20600, device=(5, 1)))
    entries += [_entry(name, content, 0o100000 | mode) for name, (content, mode) in files.items()]
    return gzip.compress(b"".join((*entries, _entry("TRAILER!!!", b"", 0))), 1)


def _packages() -> Path:
    """Kernel and busybox, unpacked once from the packages that the guest image is made of."""
    tree = _BUILD / "tiny-guest"
    if not tree.exists():
        kernels = known(KERNEL_PACKAGES)
        if not kernels:
            pytest.fail("apt knows no kernel for guests: apt-get update")
        names = [p for p in dependencies(kernels[0]) if p.startswith(("linux-image", "linux-modules"))]
        with tempfile.TemporaryDirectory(dir=_BUILD) as part:
            unpack([*names, "busybox-static"], _BUILD / "guest" / "packages", Path(part) / "tree")
            with contextlib.suppress(OSError):
                # Another test process was faster.
                (Path(part) / "tree").rename(tree)
    return tree


def _entry(name: str, content: bytes, mode: int, device: tuple[int, int] = (0, 0)) -> bytes:
    """One entry of a cpio archive in the format `newc`."""
    encoded = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
