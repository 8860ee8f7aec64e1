"""A real Keystone from PyPI on SQLite, in a virtual environment of its own, as the server of a test."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VERSION = "30.0.0"
ADMIN_PASSWORD = "keystone-secret"
_ROOT = Path(__file__).resolve().parents[2]
_VENV = _ROOT / ".build" / f"keystone-{VERSION}"
_INSTALL_SECONDS = 600
_START_SECONDS = 60

_CONFIGURATION = """
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.sqlite
[token]
provider = fernet
# A test revokes a token and looks again at once.
cache_on_issue = false
[cache]
enabled = false
[fernet_tokens]
key_repository = {folder}/fernet-keys
[credential]
key_repository = {folder}/credential-keys
"""
# Keystone reads sys.argv as its own command line, so it is served by a program that has none.
_SERVER = """
import socket, socketserver, sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

sys.argv = ["keystone"]
from keystone.wsgi.api import application

class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self):
        self.socket = socket.socket(fileno={descriptor})
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address
        self.setup_environ()

class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass

server = Server(("127.0.0.1", 0), Quiet)
server.set_app(application)
server.serve_forever()
"""


def install_keystone() -> Path:
    """The bin folder of a virtual environment with Keystone; made on first use, in a minute or two."""
    done = _VENV / "complete"
    if not done.exists():
        shutil.rmtree(_VENV, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(_VENV)], check=True)
        subprocess.run(
            [str(_VENV / "bin" / "pip"), "install", "-q", f"keystone=={VERSION}"],
            check=True,
            timeout=_INSTALL_SECONDS,
        )
        done.touch()
    return _VENV / "bin"


@contextmanager
def keystone_server(folder: Path) -> Iterator[str]:
    """A running Keystone with its files in `folder`, bootstrapped with the user admin; gives its URL."""
    programs = install_keystone()
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "keystone.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder))
    environment = {
        "PATH": os.environ["PATH"],
        "OS_KEYSTONE_CONFIG_DIR": str(folder),
        "OS_KEYSTONE_CONFIG_FILES": str(configuration),
    }
    owner = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
    for command in (
        ["db_sync"],
        ["fernet_setup", *owner],
        ["credential_setup", *owner],
        ["bootstrap", "--bootstrap-password", ADMIN_PASSWORD, "--bootstrap-region-id", "RegionOne"],
    ):
        subprocess.run(
            [str(programs / "keystone-manage"), "--config-file", str(configuration), *command],
            check=True,
            env=environment,
            cwd=folder,
            stderr=subprocess.DEVNULL,
        )
    with socket.socket() as listener:
        # Bound here and inherited, so that no other program can take the port in between.
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        with (folder / "out").open("wb") as out:
            process = subprocess.Popen(
                [str(programs / "python"), "-c", _SERVER.format(descriptor=listener.fileno())],
                env=environment,
                cwd=folder,
                stdout=out,
                stderr=out,
                pass_fds=(listener.fileno(),),
            )
    url = f"http://127.0.0.1:{port}/v3"
    try:
        _wait(url, process, folder)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"Keystone {VERSION} did not start:\n{(folder / 'out').read_text()}")
