"""Clients that connect all at once, as after a restart: a role takes them all and lives.

gRPC crashed here, in 200 to 7,000 handshakes, while it was given a certificate at each of them.
"""

import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.processes import Processes

pytestmark = pytest.mark.fault

HANDSHAKES = 3000
AT_ONCE = 8


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Processes]:
    """One role of a cloud, which needs no other."""
    cloud = Processes(tmp_path / "cloud")
    cloud.certify()
    try:
        cloud.serve("cert")
        yield cloud
    finally:
        cloud.stop_all()


def test_many_handshakes_at_once(cloud: Processes) -> None:
    folder = cloud.state.certificates
    tls = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    tls.check_hostname = False
    tls.load_cert_chain(folder / "admin.pem", folder / "admin-key.pem")
    tls.set_alpn_protocols(["h2"])
    host, _, port = cloud.settings.mesh.cert.rpartition(":")

    def shake(_: int) -> str:
        with socket.create_connection((host, int(port)), 30) as plain, tls.wrap_socket(plain) as secure:
            return secure.selected_alpn_protocol() or ""

    with ThreadPoolExecutor(AT_ONCE) as clients:
        assert set(clients.map(shake, range(HANDSHAKES))) == {"h2"}
    assert cloud.running["cert"].poll() is None, cloud.said("cert")
