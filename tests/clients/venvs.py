"""Virtual environments for clients that don't go together with the project's own packages.

Each is made once, in .build/, from the newest packages that its client takes. A client that is years old
and says less about what it needs than it needs gets bounds here, or a file in constraints/ that names all.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_BUILD = Path(__file__).resolve().parents[2] / ".build"
_CONSTRAINTS = Path(__file__).parent / "constraints"
_INSTALL_SECONDS = 600
# A test may ask from within its cloud's network, from where no package can be reached.
_OUTSIDE = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
# 7.1.2 imports pkg_resources, which setuptools had until 80.
_BOUNDS = {"python-novaclient==7.1.2": ("setuptools<81",)}


def programs_of(requirement: str) -> Path:
    """The bin folder of a virtual environment with the client, "python-novaclient==18.13.1" for example.

    Makes it on first use, in 10 to 30 seconds. Fails, with what pip said, where that can't be.
    """
    folder = _BUILD / requirement.replace("==", "-")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Held by one process at a time, and let go by the kernel when that ends.
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder, requirement)
    return folder / "bin"


def _install(folder: Path, requirement: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    packages = [requirement, *_BOUNDS.get(requirement, ())]
    constraints = _CONSTRAINTS / f"{folder.name}.txt"
    if constraints.exists():
        packages += ["-c", str(constraints)]
    done = subprocess.run(
        [
            "nsenter",
            f"--net=/proc/self/fd/{_OUTSIDE}",
            str(folder / "bin" / "pip"),
            "install",
            "-q",
            *packages,
        ],
        pass_fds=[_OUTSIDE],
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"pip can't install {' '.join(packages)}, which this test needs:\n{done.stderr}")
    (folder / "complete").touch()
