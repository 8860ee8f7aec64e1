"""Whoever runs the cloud: `novamesh status`, `operation list`, `doctor` and more, and grpcurl by certificate.

The cloud has pretended guests: nothing here asks what a guest does.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import Cloud, running_cloud

pytestmark = pytest.mark.client

CONDUCTOR = "127.0.0.1:8780"
COMPUTE = "127.0.0.1:8782"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_cloud(tmp_path_factory.mktemp("operator") / "state", "--fake") as up:
        yield up


@pytest.fixture(scope="module")
def vm(cloud: Cloud) -> str:
    """The id of a server with a name that no narrow table has room for."""
    return cloud.openstack(
        *("server", "create", "--image", "tiny", "--flavor", "m1.tiny", "--network", "private"),
        *("--wait", "-f", "value", "-c", "id", "a-server-with-a-name-that-is-rather-long-for-a-table"),
    )


def novamesh(cloud: Cloud, *arguments: str, columns: int | None = None, code: int = 0) -> str:
    """What the command prints, in a terminal that is so wide, or piped."""
    done = subprocess.run(
        cloud.inside("novamesh", *arguments),
        capture_output=True,
        text=True,
        env={
            **cloud.variables(),
            "NOVAMESH_STATE_DIR": str(cloud.state),
            **({"COLUMNS": str(columns)} if columns else {}),
        },
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def grpcurl(cloud: Cloud, *arguments: str, certificate: str | None = "admin", code: int = 0) -> str:
    """What grpcurl says with a certificate of the state directory."""
    certificates = cloud.state / "certs"
    own = () if certificate is None else (
        *("-cert", str(certificates / f"{certificate}.pem")),
        *("-key", str(certificates / f"{certificate}-key.pem")),
    )  # fmt: skip
    done = subprocess.run(
        cloud.inside("grpcurl", "-cacert", str(certificates / "ca.pem"), *own, *arguments),
        capture_output=True,
        text=True,
        env=cloud.variables(),
        timeout=60,
        check=False,
    )
    assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_status_fits_a_terminal(cloud: Cloud, vm: str) -> None:
    shown = novamesh(cloud, "status", columns=80)
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert vm in shown, "the id has to be there in one piece, to be copied"
    for title in ("Roles", "Hosts", "Instances (newest first)", "Operations (newest first)"):
        assert title in shown
    for role in ("conductor", "scheduler", "compute", "network", "metadata", "identity", "image", "cert"):
        assert f"\n{role} " in shown
    assert "down" not in shown
    assert "10.80.0.2" in shown
    assert "create" in shown


def test_status_is_whole_in_a_pipe(cloud: Cloud, vm: str) -> None:
    shown = novamesh(cloud, "status")
    assert "a-server-with-a-name-that-is-rather-long-for-a-table" in shown
    assert "…" not in shown


def test_operations(cloud: Cloud, vm: str) -> None:
    assert "None is under way" in novamesh(cloud, "operation", "list")
    every = novamesh(cloud, "operation", "list", "--all", "--instance", vm)
    (line,) = [line for line in every.splitlines() if vm in line]
    assert "create" in line
    assert "succeeded" in line
    nobody = novamesh(cloud, "operation", "list", "--all", "--instance", "nobody")
    assert nobody.strip() == "There are none."


def test_doctor(cloud: Cloud) -> None:
    shown = novamesh(cloud, "doctor", columns=80)
    for name in ("privileges", "libvirtd", "qemu-img", "dnsmasq", "nftables", "tun", "kvm", "memory", "disk"):
        assert f" {name} " in shown
    assert "port " not in shown, "of a cloud that is up the ports are taken, which is no finding"


def test_doctor_names_a_taken_port(cloud: Cloud, tmp_path: Path) -> None:
    """For another cloud on the same machine, the first one's ports are in the way."""
    shown = novamesh(cloud, "doctor", "--state-dir", str(tmp_path / "other"), code=1)
    assert "127.0.0.1:8774 can't be used: Address already in use" in shown
    assert "[api] osapi_compute_listen_port" in shown


def test_a_second_start_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    again = novamesh(cloud, "up", "--fake", code=1)
    assert "this cloud is up already, as process" in again
    guest = Path(__file__).resolve().parents[2] / ".build" / "guest"
    other = novamesh(
        cloud, "up", "--fake", "--guest-image", str(guest), "--state-dir", str(tmp_path / "other"), code=1
    )
    assert "[identity_api] bind_port" in other
    assert "8780" in other


def test_configuration_and_schema(cloud: Cloud) -> None:
    shown = novamesh(cloud, "config", "show")
    assert f'connection = "sqlite:///{cloud.state}/novamesh.sqlite"' in shown
    assert "password" not in shown
    assert "osapi_compute_listen" not in shown, "the API listens where it does by default"
    example = novamesh(cloud, "config", "example")
    assert "# osapi_compute_listen_port = 8774" in example
    assert "as it should be" in novamesh(cloud, "db", "check")


def test_certificates(cloud: Cloud) -> None:
    shown = novamesh(cloud, "ca", "show", columns=80)
    assert "spiffe://novamesh/admin/" in shown
    assert "conductor.pem" in shown
    made = novamesh(cloud, "ca", "admin", "second", "--days", "1")
    assert made.strip() == f"{cloud.state}/certs/second.pem"
    assert "InstanceService" in grpcurl(cloud, CONDUCTOR, "list", certificate="second")


def test_grpcurl_lists_and_describes(cloud: Cloud) -> None:
    services = grpcurl(cloud, CONDUCTOR, "list").split()
    assert {
        "novamesh.conductor.v1.InstanceService",
        "novamesh.conductor.v1.OperationService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    } <= set(services)
    described = grpcurl(cloud, CONDUCTOR, "describe", "novamesh.conductor.v1.InstanceService")
    assert "rpc GetInstance (" in described
    assert 'get:"/v1/conductor/instances/{id}"' in described
    assert "SERVING" in grpcurl(cloud, CONDUCTOR, "grpc.health.v1.Health/Check")


def test_grpcurl_gets_an_instance(cloud: Cloud, vm: str) -> None:
    method = "novamesh.conductor.v1.InstanceService/GetInstance"
    answer: Any = json.loads(grpcurl(cloud, "-d", json.dumps({"id": vm}), CONDUCTOR, method))
    assert answer["instance"]["id"] == vm
    assert answer["instance"]["vm_state"] == "VM_STATE_ACTIVE"
    assert answer["instance"]["interfaces"][0]["address"] == "10.80.0.2"
    # grpcurl ends with 64 and the code of the status: 5 is NOT_FOUND, 7 PERMISSION_DENIED.
    missing = grpcurl(cloud, "-d", '{"id": "nobody"}', CONDUCTOR, method, code=69)
    assert "Code: NotFound" in missing
    assert "Instance nobody could not be found." in missing


def test_grpcurl_is_refused_where_policy_denies(cloud: Cloud, vm: str) -> None:
    """An administrator looks, and changes nothing behind the conductor's back."""
    method = "novamesh.compute.v1.LifecycleService/StopInstance"
    refused = grpcurl(cloud, COMPUTE, method, code=71)
    assert "Code: PermissionDenied" in refused
    assert "The role admin may not call StopInstance." in refused
    # A role's certificate is not an administrator's: compute doesn't even see what there is.
    refused = grpcurl(cloud, CONDUCTOR, "list", certificate="compute", code=1)
    assert "The role compute may not call" in refused


def test_grpcurl_is_refused_without_a_certificate(cloud: Cloud) -> None:
    refused = grpcurl(cloud, CONDUCTOR, "list", certificate=None, code=1)
    assert "InstanceService" not in refused
