"""Generate the `novamesh` client package from protos/.

Writes the messages, the gRPC stubs and their type stubs beside each other under
novamesh/, and the `__init__.py` files that protoc leaves out. `--check` writes
to a temporary folder instead and fails when the committed code differs.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
THIRD_PARTY = ROOT / ".build" / "googleapis"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")
# What buf and protoc need of googleapis; the Python modules come from the package itself.
GOOGLE_FILES = ("google/api/annotations.proto", "google/api/http.proto")


def copy_third_party() -> None:
    """Put googleapis' annotations where buf.yaml expects them."""
    spec = find_spec("google.api")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("googleapis-common-protos is not installed: run `make venv`")
    site_packages = Path(next(iter(spec.submodule_search_locations))).parent.parent
    for name in GOOGLE_FILES:
        target = THIRD_PARTY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(site_packages / name, target)


def generate(out: Path) -> None:
    """Run protoc for every contract, into `out`."""
    well_known = find_spec("grpc_tools")
    if well_known is None or well_known.origin is None:
        sys.exit("grpcio-tools is not installed: run `make venv`")
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc",
            f"-I{PROTOS}",
            f"-I{THIRD_PARTY}",
            f"-I{Path(well_known.origin).parent / '_proto'}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--grpc_python_out={out}",
            f"--mypy_grpc_out=quiet:{out}",
            *sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto")),
        ],
        cwd=PROTOS,
        # protoc finds its plugins on PATH; ours are beside this interpreter.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"},
        check=True,
    )  # fmt: skip
    for folder in {p.parent for p in (out / "novamesh").rglob("*_pb2.py")}:
        while folder != out:
            (folder / "__init__.py").touch()
            folder = folder.parent
    for proto in out.rglob("*_pb2_grpc.py"):
        # protoc writes a stub module for message-only files too; nobody can use it.
        if "class " not in proto.read_text():
            proto.unlink()
            proto.with_suffix(".pyi").unlink(missing_ok=True)


def generated_files(top: Path) -> set[Path]:
    """The generated files below `top`, relative to it."""
    return {p.relative_to(top) for pattern in GENERATED for p in (top / "novamesh").rglob(pattern)}


def main() -> None:
    """Generate, or with --check report drift."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the committed code is out of date")
    arguments = parser.parse_args()
    copy_third_party()
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        new, old = generated_files(fresh), generated_files(ROOT)
        stale = sorted(old - new)
        changed = sorted(
            p for p in new if p not in old or not filecmp.cmp(fresh / p, ROOT / p, shallow=False)
        )
        if arguments.check:
            if stale or changed:
                sys.exit("out of date, run `make generate`: " + ", ".join(map(str, [*stale, *changed])))
            return
        for path in stale:
            (ROOT / path).unlink()
        for path in changed:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fresh / path, ROOT / path)
        for init in fresh.rglob("__init__.py"):
            target = ROOT / init.relative_to(fresh)
            if not target.exists():
                target.touch()
    (ROOT / "novamesh" / "py.typed").touch()


if __name__ == "__main__":
    main()
