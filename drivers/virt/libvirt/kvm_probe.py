"""Whether KVM really runs a virtual processor here.

`/dev/kvm` that opens proves nothing: in a container, or under a hypervisor
without nesting, it may open while no virtual processor ever runs. So, after a
look at the processor's flags, a child process makes a machine with one page of
memory whose program counts bits, writes the count to a port, and stops there.
Counting bits is an instruction that KVM can't interpret: where processors are
shared out in other ways (kvm_pvm), simple programs do run, by interpretation
of each instruction, and a guest never gets through its boot. The child can be
killed when the call doesn't return.

Numbers are from linux/kvm.h, for x86-64.
"""

import ctypes
import fcntl
import mmap
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_KVM_CREATE_VM = 0xAE01
_KVM_GET_VCPU_MMAP_SIZE = 0xAE04
_KVM_CREATE_VCPU = 0xAE41
_KVM_SET_USER_MEMORY_REGION = 0x4020AE46
_KVM_RUN = 0xAE80
_KVM_SET_REGS = 0x4090AE82
_KVM_GET_SREGS = 0x8138AE83
_KVM_SET_SREGS = 0x4138AE84
_SREGS_SIZE = 0x138
_CR0 = 224
_KVM_EXIT_IO = 2
_KVM_EXIT_INTERNAL_ERROR = 17
_PAGE = 4096
_BYTE = 5
_PORT = 0x10
# mov ecx, 0x1f; popcnt eax, ecx; out _PORT, al; hlt
_PROGRAM = bytes((0xB9, 0x1F, 0, 0, 0, 0xF3, 0x0F, 0xB8, 0xC1, 0xE6, _PORT, 0xF4))


class KvmProbe(NamedTuple):
    """What the probe found."""

    usable: bool
    # One sentence for people; says how to mend it where that is known.
    reason: str


def probe_kvm(timeout: float = 5.0, cpuinfo: str = "/proc/cpuinfo", device: str = "/dev/kvm") -> KvmProbe:
    """Try KVM. Blocks for up to `timeout` seconds; typically 30 ms."""
    if platform.machine() != "x86_64":
        return KvmProbe(
            os.access(device, os.R_OK | os.W_OK), f"only {device} was looked at on {platform.machine()}"
        )
    flags = _flags(cpuinfo)
    if not flags & {"vmx", "svm"}:
        return KvmProbe(
            False, "the processor shows neither vmx nor svm: enable virtualization, or nesting on its host"
        )
    if not os.path.exists(device):
        return KvmProbe(False, f"{device} is missing: modprobe kvm_intel or kvm_amd")
    if not os.access(device, os.R_OK | os.W_OK):
        return KvmProbe(False, f"{device} may not be opened: be root or join the group kvm")
    try:
        child = subprocess.run(
            [sys.executable, "-I", __file__, device], capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return KvmProbe(
            False, f"a virtual processor didn't run within {timeout:g} s: KVM is there but doesn't work"
        )
    if child.returncode:
        last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return KvmProbe(False, f"a virtual processor can't be run: {last}")
    return KvmProbe(True, "a virtual processor ran")


def _flags(cpuinfo: str) -> set[str]:
    for line in Path(cpuinfo).read_text().splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def run_program(device: str) -> str:
    """Run the program on a new virtual machine; return what went wrong. Raises OSError where KVM refuses."""
    kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    machine = fcntl.ioctl(kvm, _KVM_CREATE_VM, 0)
    memory = mmap.mmap(-1, _PAGE)
    memory[: len(_PROGRAM)] = _PROGRAM
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    # slot, flags, guest address, size, address here
    region = struct.pack("=IIQQQ", 0, 0, 0, _PAGE, address)
    fcntl.ioctl(machine, _KVM_SET_USER_MEMORY_REGION, region)
    processor = fcntl.ioctl(machine, _KVM_CREATE_VCPU, 0)
    shared = mmap.mmap(processor, fcntl.ioctl(kvm, _KVM_GET_VCPU_MMAP_SIZE, 0))
    segments = bytearray(_SREGS_SIZE)
    fcntl.ioctl(processor, _KVM_GET_SREGS, segments)
    # Flat 32-bit protected mode: KVM may interpret real mode itself, without the processor's help.
    # base, limit, selector, type, present, dpl, db, s, l, g, avl, unusable
    for place, selector, kind in (
        (0, 8, 11),
        (24, 16, 3),
        (48, 16, 3),
        (72, 16, 3),
        (96, 16, 3),
        (120, 16, 3),
    ):
        struct.pack_into("=QIH9B", segments, place, 0, 0xFFFFFFFF, selector, kind, 1, 0, 1, 1, 0, 1, 0, 0)
    struct.pack_into("=Q", segments, _CR0, 1)
    fcntl.ioctl(processor, _KVM_SET_SREGS, bytes(segments))
    # 16 general registers, rip, rflags (bit 1 is always set)
    fcntl.ioctl(processor, _KVM_SET_REGS, struct.pack("=18Q", *([0] * 17), 2))
    fcntl.ioctl(processor, _KVM_RUN, 0)
    (reason,) = struct.unpack_from("=I", shared, 8)
    if reason == _KVM_EXIT_INTERNAL_ERROR:
        return "KVM interprets instructions instead of running them"
    if reason != _KVM_EXIT_IO:
        return f"it stopped for reason {reason} instead of {_KVM_EXIT_IO}"
    # direction, size, port, count, where the data is
    _, _, port, _, offset = struct.unpack_from("=BBHIQ", shared, 32)
    if (port, shared[offset]) != (_PORT, _BYTE):
        return f"it wrote {shared[offset]:#x} to port {port:#x} instead of {_BYTE:#x} to {_PORT:#x}"
    return ""


if __name__ == "__main__":
    if problem := run_program(sys.argv[1]):
        sys.exit(problem)
