"""The state directory: everything that a cloud on one machine keeps, and the files that its users read."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODE_PRIVATE = 0o600


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE_PRIVATE), "w") as file:
        file.write(text)
    part.replace(path)


@dataclass(frozen=True)
class StateDirectory:
    """Where things are. The names are part of the product: others script against them."""

    path: Path

    @property
    def clouds_yaml(self) -> Path:
        """What the `openstack` client reads: clouds `novamesh` and `novamesh-admin`."""
        return self.path / "clouds.yaml"

    @property
    def openrc(self) -> Path:
        """The same for shells: project demo."""
        return self.path / "openrc"

    @property
    def certificates(self) -> Path:
        """The cluster's CA, and a certificate and key for each role and for the administrator."""
        return self.path / "certs"

    @property
    def logs(self) -> Path:
        """Logs."""
        return self.path / "logs"

    @property
    def database_url(self) -> str:
        """The embedded database."""
        return f"sqlite:///{self.path / 'novamesh.sqlite'}"

    @property
    def images(self) -> Path:
        """Data of the embedded image service."""
        return self.path / "images"

    @property
    def instances(self) -> Path:
        """Disks and console logs of guests, and the image cache."""
        return self.path / "instances"

    @property
    def libvirt(self) -> Path:
        """Sockets and pids of a libvirtd of our own, where the machine runs none."""
        return self.path / "libvirt"

    @property
    def pid_file(self) -> Path:
        """The process that has the cloud up."""
        return self.path / "novamesh.pid"

    def running_pid(self) -> int | None:
        """The process that has this cloud up now; None when there is none."""
        try:
            with self.pid_file.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            return int(self.pid_file.read_text() or 0)
        return None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have this cloud up: a lock that ends with the process. BlockingIOError when another has it."""
        with self.pid_file.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield
            file.truncate(0)

    def create(self) -> None:
        """Make the folders that are missing."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o755)
        for folder in (self.certificates, self.logs, self.images, self.instances, self.libvirt):
            folder.mkdir(exist_ok=True)

    def passwords(self) -> dict[str, str]:
        """The generated password of each user of a new cloud, kept from the first start on."""
        path = self.path / "passwords.json"
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        missing = {"admin", "demo"} - kept.keys()
        if missing:
            kept |= {name: secrets.token_urlsafe(15) for name in missing}
            write_private(path, json.dumps(kept, indent=2) + "\n")
        return kept

    def write_clients(self, auth_url: str, region: str) -> None:
        """Write clouds.yaml and openrc."""
        passwords = self.passwords()
        clouds = []
        for cloud, user, project in (("novamesh", "demo", "demo"), ("novamesh-admin", "admin", "admin")):
            clouds.append(
                f"  {cloud}:\n"
                f"    region_name: {region}\n"
                f"    identity_api_version: 3\n"
                f"    auth:\n"
                f"      auth_url: {auth_url}\n"
                f"      username: {user}\n"
                f"      password: {passwords[user]}\n"
                f"      project_name: {project}\n"
                f"      user_domain_name: Default\n"
                f"      project_domain_name: Default\n"
            )
        write_private(self.clouds_yaml, "clouds:\n" + "".join(clouds))
        variables = {
            "OS_AUTH_URL": auth_url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": "demo",
            "OS_PASSWORD": passwords["demo"],
            "OS_PROJECT_NAME": "demo",
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": region,
        }
        write_private(self.openrc, "".join(f"export {name}={value}\n" for name, value in variables.items()))
