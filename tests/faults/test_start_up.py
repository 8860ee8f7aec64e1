"""Starts that can't succeed: each ends with one sentence that says what is in the way and what to do."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.processes import Processes

pytestmark = pytest.mark.fault


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Processes]:
    """A cloud that has not been started."""
    cloud = Processes(tmp_path / "cloud")
    yield cloud
    cloud.stop_all()


def listening(address: str) -> socket.socket:
    """Something else that has the port."""
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)))


def refused(cloud: Processes, *command: str) -> str:
    """What a command printed that had to fail."""
    cloud.launch("refused", *command)
    return end_of(cloud, "refused")


def end_of(cloud: Processes, name: str) -> str:
    """What a process printed that had to fail; a person can read it."""
    assert cloud.running[name].wait(60) == 1
    # A console may be as narrow as it likes.
    said = " ".join(cloud.log(name).read_text().split())
    assert "Traceback" not in said, said
    return said


def up(cloud: Processes) -> str:
    return refused(cloud, "up", "--fake", "--guest-image", str(cloud.guest_folder()))


def test_every_taken_port_is_named_with_the_option_that_moves_it(cloud: Processes) -> None:
    cloud.configure({"mesh": {"metrics_listen": "127.0.0.1:11799"}})
    ports = list(cloud.settings.ports())
    taken = [listening(f"{host}:{port}") for _, host, port in ports]
    try:
        said = up(cloud)
    finally:
        for one in taken:
            one.close()
    for option, host, port in ports:
        assert f"{host}:{port} can't be used: Address already in use" in said
        assert option in said
    assert cloud.state.running_pid() is None
    # Nothing was begun, so nothing is in the way of the next start.
    cloud.up()
    assert cloud.stop("up") == 0


ROLES = {
    "conductor": "[mesh] conductor",
    "scheduler": "[mesh] scheduler",
    "compute": "[mesh] compute",
    "gateway": "[api] osapi_compute_listen_port",
    "metadata": "[metadata_api] metadata_listen_port",
}


def test_a_role_names_its_taken_port(cloud: Processes) -> None:
    cloud.prepare()
    addresses = {option: f"{host}:{port}" for option, host, port in cloud.settings.ports()}
    with contextlib.ExitStack() as taken:
        for role, option in ROLES.items():
            taken.enter_context(listening(addresses[option]))
            cloud.launch(role, "serve", role)
        for role, option in ROLES.items():
            said = end_of(cloud, role)
            assert addresses[option] in said
            assert option in said


def test_a_role_twice(cloud: Processes) -> None:
    """Two may not share a port without knowing of each other: calls would go to either."""
    cloud.prepare()
    cloud.serve("scheduler")
    said = refused(cloud, "serve", "scheduler")
    assert "[mesh] scheduler moves it" in said


def test_second_up_on_the_same_state(cloud: Processes) -> None:
    cloud.up()
    pid = cloud.running["up"].pid
    said = cloud.command("up", "--fake", check=False)
    assert f"this cloud is up already, as process {pid}" in said
    # The first doesn't notice.
    assert cloud.state.running_pid() == pid
    # What a killed one leaves is in nobody's way.
    cloud.kill("up")
    assert cloud.state.running_pid() is None
    cloud.up()
    assert cloud.stop("up") == 0
    assert cloud.state.running_pid() is None


def test_two_ups_at_once(cloud: Processes) -> None:
    """One of them gets it, the other says so; neither harms the other."""
    guest = str(cloud.guest_folder())
    for name in ("one", "other"):
        cloud.launch(name, "up", "--fake", "--guest-image", guest)
    loser = next_to_end(cloud)
    assert cloud.running[loser].returncode == 1
    assert "Traceback" not in cloud.said(loser)
    winner = "one" if loser == "other" else "other"
    cloud.wait_for(winner, 0, "The cloud is up.")
    assert cloud.stop(winner) == 0


def next_to_end(cloud: Processes) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for name, process in cloud.running.items():
            if process.poll() is not None:
                return name
        time.sleep(0.02)
    pytest.fail("both think that they have the cloud")


def test_guest_image_is_missing(cloud: Processes) -> None:
    said = refused(cloud, "up", "--fake", "--guest-image", str(cloud.folder / "nowhere"))
    assert "lacks kernel, initrd, root.ext4, disk.qcow2" in said
    assert "guest/build.py" in said


def test_libvirt_is_down(cloud: Processes) -> None:
    cloud.configure(
        {
            "drivers": {"compute": "libvirt"},
            "libvirt": {"connection_uri": f"qemu+unix:///system?socket={cloud.folder}/no-sock"},
        }
    )
    cloud.prepare()
    said = refused(cloud, "serve", "compute")
    assert "libvirt" in said
    assert f"{cloud.folder}/no-sock" in said
    assert "Start it" in said


def test_no_certificates(cloud: Processes) -> None:
    said = refused(cloud, "serve", "conductor")
    assert "novamesh ca create" in said


def test_no_schema(cloud: Processes) -> None:
    cloud.certify()
    said = refused(cloud, "serve", "conductor")
    assert "novamesh db upgrade" in said


def test_no_database(cloud: Processes) -> None:
    """PostgreSQL that isn't there is named, without its password."""
    cloud.certify()
    url = "postgresql+psycopg://novamesh:secret@127.0.0.1:1/novamesh"
    cloud.configure({"database": {"connection": url}})
    for command in (("serve", "conductor"), ("db", "upgrade")):
        said = refused(cloud, *command)
        assert "the database postgresql+psycopg://novamesh:***@127.0.0.1:1/novamesh can't be reached" in said
        assert "Connection refused" in said
        assert "secret" not in said
