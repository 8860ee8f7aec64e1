"""The config drive: an ISO 9660 image labelled `config-2`, as cloud-init looks for."""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from drivers.virt.qemu_img import QemuImg
from novamesh.failures import UnavailableError

LABEL = "config-2"

# Programs that make one, all with mkisofs's options.
_PROGRAMS = ("genisoimage", "mkisofs", "xorrisofs")


async def make_config_drive(programs: QemuImg, files: Mapping[str, bytes], target: Path) -> None:
    """Write the files, by their paths in the drive, to an image at `target`. Raises as QemuImg.run does."""
    program = next((name for name in _PROGRAMS if shutil.which(name)), None)
    if program is None:
        raise UnavailableError("genisoimage", "genisoimage is missing: apt-get install genisoimage")
    with tempfile.TemporaryDirectory(prefix="config-drive-", dir=target.parent) as folder:
        await asyncio.to_thread(_write, Path(folder), files)
        # Level 4, lower case and several dots are against the standard, and what every cloud's drives have;
        # Joliet and Rock Ridge give the names to those who read by the standard.
        await programs.run(
            program, "-quiet", "-o", str(target), "-ldots", "-allow-lowercase", "-allow-multidot", "-l",
            "-publisher", "novamesh", "-J", "-r", "-V", LABEL, folder,
        )  # fmt: skip
    # It holds user data, where people put passwords.
    await asyncio.to_thread(target.chmod, 0o600)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"{name} leads out of the config drive")
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
