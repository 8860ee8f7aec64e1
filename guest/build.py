"""Build `tiny`, a guest image small enough to boot under software emulation in seconds.

Takes a kernel, busybox, dropbear and resize2fs out of the distribution's own
packages (downloaded and unpacked into a work folder, not installed), adds the
scripts beside this file, and writes to the output folder:

  kernel, initrd, root.ext4   the three parts that EC2 calls aki, ari and ami
  disk.qcow2                  the same guest on a disk that boots by itself

No mount and no privilege is needed. Needs: apt-get, dpkg-deb, cpio, mke2fs, qemu-img.
"""

import argparse
import gzip
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNEL_PACKAGES = ("linux-image-cloud-amd64", "linux-image-virtual")  # Debian's name, Ubuntu's name
USERLAND_PACKAGES = ("busybox-static", "dropbear-bin", "e2fsprogs")
LOADER_PACKAGES = ("grub-pc-bin", "grub-common")
PROGRAMS = ("usr/sbin/dropbear", "usr/bin/dropbearkey", "usr/sbin/resize2fs")
# What the kernel needs to find its root disk and its network card; the rest comes later.
BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_net")
ROOT_MODULES = (
    *("isofs", "vfat", "nls_iso8859_1", "nls_cp437", "nls_ascii"),  # config drives ...
    *("ata_piix", "sr_mod", "cdrom"),  # ... which are CDs on an IDE channel
    *("evdev", "button"),  # the power button
    *("virtio_rng", "virtio_balloon", "virtio_console"),
)
ROOT_MIB = 24
SECTOR = 512
PARTITION_START = 2048 * SECTOR
TOOLS = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "cpio": "cpio",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
}


def run(*command: str | Path, cwd: Path | None = None, stdin: bytes | None = None) -> str:
    """Run a command; a failure ends the build with what the command said."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, input=stdin, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"guest/build.py: {' '.join(map(str, command))}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def dependencies(package: str) -> list[str]:
    """The package and all that it needs to run, by apt's own account."""
    others = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    lines = run(
        "apt-cache", "depends", "--recurse", *(f"--no-{kind}" for kind in others), package
    ).splitlines()
    return sorted({line.strip() for line in lines if re.match(r"^[a-z0-9]", line)})


def known(packages: Iterable[str]) -> list[str]:
    """Those that apt can fetch; names that only stand for others are left out."""
    done = subprocess.run(["apt-cache", "show", *packages], capture_output=True, check=False)
    return sorted(set(re.findall(r"^Package: (\S+)$", done.stdout.decode(errors="replace"), re.MULTILINE)))


def unpack(packages: Iterable[str], cache: Path, target: Path) -> None:
    """Download packages into `cache`, unless they are there, and unpack them into `target`."""
    cache.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    wanted = known(packages)
    missing = [p for p in wanted if not list(cache.glob(f"{p}_*.deb"))]
    if missing:
        run("apt-get", "-q", "download", *missing, cwd=cache)
    for package in wanted:
        for archive in cache.glob(f"{package}_*.deb"):
            run("dpkg-deb", "-x", archive, target)


class Modules:
    """The kernel modules of an unpacked kernel package, and what each one needs."""

    def __init__(self, folder: Path) -> None:
        self.files = {self.name(p): p for p in folder.rglob("*.ko*")}

    @staticmethod
    def name(path: Path) -> str:
        """The module's name as the kernel spells it."""
        return path.name.split(".ko")[0].replace("-", "_")

    @staticmethod
    def read(path: Path) -> bytes:
        """The module's object code, decompressed."""
        if path.suffix == ".xz":
            return lzma.decompress(path.read_bytes())
        if path.suffix == ".zst":
            return subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True).stdout
        return path.read_bytes()

    def ordered(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Each module after those that it depends on. One that is built into the kernel is left out."""
        seen: set[str] = set()

        def visit(name: str) -> Iterator[tuple[str, bytes]]:
            if name in seen or name not in self.files:
                return
            seen.add(name)
            code = self.read(self.files[name])
            found = re.search(rb"\0depends=([^\0]*)\0", code)
            for needed in found.group(1).decode().split(",") if found else ():
                yield from visit(needed.replace("-", "_"))
            yield name, code

        for name in names:
            yield from visit(name)


def write_modules(modules: Iterable[tuple[str, bytes]], folder: Path) -> None:
    """Put modules into a folder with a file that says in which order to load them."""
    folder.mkdir(parents=True)
    order = []
    for name, code in modules:
        (folder / f"{name}.ko").write_bytes(code)
        order.append(f"{name}.ko\n")
    (folder / "order").write_text("".join(order))


def copy_program(name: str, packages: Path, root: Path) -> None:
    """Copy a program, its interpreter and its libraries from the unpacked packages."""
    source = next(p for p in (packages / name, packages / name.removeprefix("usr/")) if p.exists())
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    libraries = {p.name: p for p in packages.rglob("*.so*")}
    pending = needed_libraries(source)
    while pending:
        library = pending.pop()
        place = root / ("lib64" if library.startswith("ld-linux") else "lib") / library
        if place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(libraries[library].resolve(), place)
        place.chmod(0o755)
        pending |= needed_libraries(place)


def needed_libraries(program: Path) -> set[str]:
    """The names in an ELF file's DT_NEEDED entries, and its loader."""
    data = program.read_bytes()
    offset, entries = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    headers = [struct.unpack_from("<IIQQQQQQ", data, offset + 56 * i) for i in range(entries)]
    loads: list[tuple[int, int, int]] = [
        (h[3], h[2], h[5]) for h in headers if h[0] == 1
    ]  # PT_LOAD: address, offset, size

    def at(address: int) -> int:
        return next(address - start + place for start, place, size in loads if 0 <= address - start < size)

    names: set[str] = set()
    for kind, _, place, _, _, size, _, _ in headers:
        if kind == 3:  # PT_INTERP
            names.add(Path(data[place : place + size].rstrip(b"\0").decode()).name)
        if kind == 2:  # PT_DYNAMIC
            pairs = list(struct.iter_unpack("<QQ", data[place : place + size // 16 * 16]))
            strings = at(next(value for tag, value in pairs if tag == 5))  # DT_STRTAB
            for tag, value in pairs:
                if tag == 1:  # DT_NEEDED
                    end = data.index(b"\0", strings + value)
                    names.add(data[strings + value : end].decode())
    return names


def build_root(packages: Path, modules: Modules, root: Path) -> None:
    """Lay out the guest's root file system."""
    folders = "bin sbin dev proc sys run tmp mnt root/.ssh etc/dropbear var/lib/cloud"
    for name in folders.split():
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copytree(HERE / "rootfs", root, dirs_exist_ok=True)
    busybox = next(p for p in (packages / "bin/busybox", packages / "usr/bin/busybox") if p.exists())
    shutil.copy2(busybox, root / "bin/busybox")
    for applet in run(busybox, "--list").split():
        if applet != "busybox" and not (root / "bin" / applet).exists():
            (root / "bin" / applet).symlink_to("/bin/busybox")
    (root / "sbin/init").symlink_to("/bin/busybox")
    for program in PROGRAMS:
        copy_program(program, packages, root)
    write_modules(modules.ordered(ROOT_MODULES), root / "lib/modules")
    for script in ("etc/rc", "etc/acpi/PWRF/00000080", "usr/share/udhcpc/default.script"):
        (root / script).chmod(0o755)
    (root / "root").chmod(0o700)
    (root / "root/.ssh").chmod(0o700)
    (root / "etc/shadow").chmod(0o600)


def build_initrd(packages: Path, modules: Modules, work: Path, out: Path) -> None:
    """Write the initial RAM disk: busybox, the modules for disk and network, and init."""
    tree = work / "initramfs"
    for name in ("bin", "dev", "proc", "sys", "newroot"):
        (tree / name).mkdir(parents=True)
    busybox = next(p for p in (packages / "bin/busybox", packages / "usr/bin/busybox") if p.exists())
    shutil.copy2(busybox, tree / "bin/busybox")
    shutil.copy2(HERE / "initramfs/init", tree / "init")
    (tree / "init").chmod(0o755)
    write_modules(modules.ordered(BOOT_MODULES), tree / "lib/modules")
    names = "\n".join(sorted(str(p.relative_to(tree)) for p in tree.rglob("*")))
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"],
        cwd=tree, input=names.encode(), capture_output=True, check=True,
    ).stdout  # fmt: skip
    (out / "initrd").write_bytes(gzip.compress(archive, 1, mtime=0))


def make_ext4(tree: Path, target: Path, mebibytes: int, offset: int = 0) -> None:
    """Make an ext4 file system, with a journal, that holds `tree`."""
    extended = "root_owner=0:0" + (f",offset={offset}" if offset else "")
    run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum,^64bit", "-E", extended,
        "-L", "guest-root", "-m", "0", "-d", tree, target, f"{mebibytes}M")  # fmt: skip


def build_disk(loader: Path, root: Path, work: Path, out: Path) -> None:
    """Write disk.qcow2: a partition with the root file system and the kernel, and GRUB in front of it."""
    boot = root / "boot/grub"
    boot.mkdir(parents=True)
    shutil.copyfile(out / "kernel", root / "boot/kernel")
    shutil.copyfile(out / "initrd", root / "boot/initrd")
    (boot / "grub.cfg").write_text(
        "linux /boot/kernel root=LABEL=guest-root console=tty0 console=ttyS0\ninitrd /boot/initrd\nboot\n"
    )
    raw, size = work / "disk.raw", ROOT_MIB + 24
    with raw.open("wb") as disk:
        disk.truncate(PARTITION_START + size * 2**20)
    make_ext4(root, raw, size, PARTITION_START)
    early = work / "early.cfg"
    early.write_text("set root=(hd0,msdos1)\nset prefix=(hd0,msdos1)/boot/grub\n")
    core = work / "core.img"
    grub = loader / "usr/lib/grub/i386-pc"
    libraries = ":".join(sorted({str(p.parent) for p in loader.rglob("*.so*")}))
    run("env", f"LD_LIBRARY_PATH={libraries}", loader / "usr/bin/grub-mkimage", "-d", grub, "-O", "i386-pc",
        "-c", early, "-p", "(hd0,msdos1)/boot/grub", "-o", core,
        "biosdisk", "part_msdos", "ext2", "linux", "normal", "configfile")  # fmt: skip
    # One bootable Linux partition; the cylinder fields say "use LBA".
    first, count = PARTITION_START // SECTOR, size * 2**20 // SECTOR
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", first, count)
    with raw.open("r+b") as disk:
        disk.write((grub / "boot.img").read_bytes()[:440])
        disk.seek(446)
        disk.write(entry)
        disk.seek(510)
        disk.write(b"\x55\xaa")
        disk.write(core.read_bytes())
    run("qemu-img", "convert", "-O", "qcow2", "-c", raw, out / "disk.qcow2")


def digest() -> str:
    """Changes when this folder does."""
    state = hashlib.sha256()
    for path in sorted(p for p in HERE.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        state.update(str(path.relative_to(HERE)).encode() + b"\0" + path.read_bytes())
    return state.hexdigest()


def main() -> None:
    """Build, unless the output is there and this folder hasn't changed since."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder for the image")
    parser.add_argument("--cache", type=Path, help="folder for downloaded packages (default: OUT/packages)")
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    stamp = out / "built-from"
    if stamp.exists() and stamp.read_text() == digest():
        print(f"guest image is there: {out}")
        return
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            sys.exit(f"guest/build.py needs {tool}: apt-get install {package}")
    kernel_packages = known(KERNEL_PACKAGES)
    if not kernel_packages and os.geteuid() == 0:
        print("apt has no list of packages yet: apt-get update")
        run("apt-get", "-qq", "update")
        kernel_packages = known(KERNEL_PACKAGES)
    if not kernel_packages:
        sys.exit("guest/build.py: apt knows no kernel package; run `apt-get update` first")
    work = out / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    packages, cache = work / "packages", arguments.cache or out / "packages"
    kernels = [p for p in dependencies(kernel_packages[0]) if p.startswith(("linux-image", "linux-modules"))]
    unpack({*kernels, *(d for p in USERLAND_PACKAGES for d in dependencies(p))}, cache, packages)
    loader = work / "loader"
    unpack({d for p in LOADER_PACKAGES for d in dependencies(p) if d != "libc6"}, cache, loader)
    modules = Modules(packages)
    shutil.copyfile(max(packages.glob("boot/vmlinuz-*")), out / "kernel")
    root = work / "root"
    build_root(packages, modules, root)
    build_initrd(packages, modules, work, out)
    make_ext4(root, out / "root.ext4", ROOT_MIB)
    build_disk(loader, root, work, out)
    shutil.rmtree(work)
    stamp.write_text(digest())
    print(f"guest image built: {out}")


if __name__ == "__main__":
    main()
