"""A real Glance from PyPI, in a virtual environment of its own, as the server of a test.

It trusts the words of tests/image_cloud.py as tokens: what keystonemiddleware
makes of a Keystone's token, a few lines here make of a word. Everything behind
that is Glance's own.
"""

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

VERSION = "33.0.0"
_ROOT = Path(__file__).resolve().parents[2]
_VENV = _ROOT / ".build" / f"glance-{VERSION}"
_INSTALL_SECONDS = 600
_START_SECONDS = 60

_CONFIGURATION = """
[DEFAULT]
enabled_backends = files:file
enabled_import_methods = []
log_file = {folder}/glance.log
[database]
connection = sqlite:///{folder}/glance.sqlite
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = {folder}/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[paste_deploy]
config_file = {folder}/paste.ini
"""
_PASTE = """
[pipeline:glance-api]
pipeline = versionnegotiation context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
"""
_APPLICATION = """
import json, os
from glance.common.wsgi_app import init_app

words = json.loads(os.environ["WORDS"])
glance = init_app()

def application(environ, start_response):
    known = words.get(environ.get("HTTP_X_AUTH_TOKEN", ""))
    if known:
        environ["HTTP_X_IDENTITY_STATUS"] = "Confirmed"
        environ["HTTP_X_USER_ID"], environ["HTTP_X_PROJECT_ID"], environ["HTTP_X_ROLES"] = known
    return glance(environ, start_response)
"""


def install_glance() -> Path:
    """The bin folder of a virtual environment with Glance; made on first use, which takes a minute or two."""
    done = _VENV / "complete"
    if not done.exists():
        shutil.rmtree(_VENV, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(_VENV)], check=True)
        subprocess.run(
            [str(_VENV / "bin" / "pip"), "install", "-q", f"glance=={VERSION}", "gunicorn"],
            check=True,
            timeout=_INSTALL_SECONDS,
        )
        done.touch()
    return _VENV / "bin"


@contextmanager
def glance_server(folder: Path, words: str) -> Iterator[str]:
    """A running Glance with its files in `folder`; gives its URL.

    `words` is JSON: token to [user id, project id, roles with commas].
    """
    programs = install_glance()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "glance-api.conf").write_text(_CONFIGURATION.format(folder=folder))
    (folder / "paste.ini").write_text(_PASTE)
    (folder / "word_glance.py").write_text(_APPLICATION)
    environment = {
        "PATH": os.environ["PATH"],
        "OS_GLANCE_CONFIG_DIR": str(folder),
        "PYTHONPATH": str(folder),
        "WORDS": words,
    }
    migrate = [str(programs / "glance-manage"), "--config-file", str(folder / "glance-api.conf"), "db_sync"]
    subprocess.run(migrate, check=True, env=environment, cwd=folder, stderr=subprocess.DEVNULL)
    with socket.socket() as listener:
        # Bound here and inherited, so that no other program can take the port in between.
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        with (folder / "out").open("wb") as out:
            process = subprocess.Popen(
                [
                    str(programs / "gunicorn"),
                    *("--threads", "8", "--timeout", "120", "--graceful-timeout", "1"),
                    *("--bind", f"fd://{listener.fileno()}", "word_glance:application"),
                ],
                env=environment,
                cwd=folder,
                stdout=out,
                stderr=out,
                pass_fds=(listener.fileno(),),
            )
    url = f"http://127.0.0.1:{port}"
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
            with urllib.request.urlopen(f"{url}/versions", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"Glance {VERSION} did not start:\n{(folder / 'out').read_text()}")
