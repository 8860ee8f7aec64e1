"""The files that the Linux network driver writes and reads, and what it refuses to write."""

import struct
from pathlib import Path

import pytest

from drivers.network import serves
from drivers.network.linux import LinuxNetworkOptions
from drivers.network.linux.cards import check_card, check_network, dhcp_name
from drivers.network.linux.dnsmasq import configuration, hosts
from drivers.network.linux.leases import read, release_packet
from drivers.network.linux.traces import Traces
from drivers.testsuite.network import make_card, make_network
from novamesh.failures import InvalidArgumentError, NotSupportedError
from novamesh.types.v1.network_pb2 import Network, NetworkMode

FOLDER = Path("/run/novamesh/networks/n")


def lines(network: Network, options: LinuxNetworkOptions | None = None) -> list[str]:
    return configuration(network, FOLDER, options or LinuxNetworkOptions()).splitlines()


def test_configuration() -> None:
    assert lines(make_network())[1:] == [
        "bind-interfaces",
        "listen-address=10.80.0.1",
        "except-interface=lo",
        "pid-file=/run/novamesh/networks/n/pid",
        "dhcp-leasefile=/run/novamesh/networks/n/leases",
        "dhcp-hostsfile=/run/novamesh/networks/n/hosts",
        "dhcp-range=10.80.0.0,static,255.255.255.0,86400s",
        "dhcp-ignore=tag:!known",
        "dhcp-lease-max=256",
        "dhcp-authoritative",
        "dhcp-no-override",
        "no-ping",
        "no-hosts",
        "quiet-dhcp",
        "dhcp-option=option:router,10.80.0.1",
        "dhcp-name-match=set:wpad-ignore,wpad",
        "dhcp-ignore-names=tag:wpad-ignore",
        "dhcp-option=option:dns-server,10.80.0.1",
        "domain-needed",
        "bogus-priv",
        "domain=novalocal",
        "local=/novalocal/",
    ]


def test_configuration_without_dns() -> None:
    found = lines(make_network(), LinuxNetworkOptions(serve_dns=False))
    assert "port=0" in found
    assert not [line for line in found if "dns-server" in line or line.startswith(("server=", "no-resolv"))]


def test_configuration_with_name_servers_of_its_own() -> None:
    found = lines(make_network(dns1="9.9.9.9", dns2="149.112.112.112"))
    assert "dhcp-option=option:dns-server,9.9.9.9,149.112.112.112" in found


def test_configuration_with_all_options() -> None:
    options = LinuxNetworkOptions(
        dns_server=("192.0.2.53", "192.0.2.54"),
        dhcp_lease_time=120,
        dhcp_domain="",
        dnsmasq_config_file="/etc/more.conf",
        network_device_mtu=1450,
    )
    found = lines(make_network(dhcp_server="10.80.0.2", cidr="10.80.0.0/20"), options)
    assert {
        "listen-address=10.80.0.2",
        "dhcp-range=10.80.0.0,static,255.255.240.0,120s",
        "dhcp-lease-max=4096",
        "no-resolv",
        "server=192.0.2.53",
        "server=192.0.2.54",
        "dhcp-option=option:mtu,1450",
        "conf-file=/etc/more.conf",
    } <= set(found)
    assert not [line for line in found if line.startswith(("domain=", "local="))]
    assert "dhcp-option=option:mtu,1400" in lines(make_network(mtu=1400), options)


def test_hosts_are_in_one_order() -> None:
    network = make_network()
    one, other = make_card(network, 5), make_card(network, 6, hostname="-bad name,10.80.0.1")
    text = "fa:16:3e:80:00:05,id:*,10.80.0.5,vm5\nfa:16:3e:80:00:06,id:*,10.80.0.6,host-10-80-0-6\n"
    assert hosts([one, other]) == hosts([other, one]) == text


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("web-1", "web-1"),
        ("", "host-10-80-0-5"),
        ("under_score", "host-10-80-0-5"),
        ("10", "host-10-80-0-5"),
        ("a" * 64, "host-10-80-0-5"),
        ("x\nfa:16:3e:00:00:01,10.80.0.1", "host-10-80-0-5"),
        ("web-1\n", "host-10-80-0-5"),
    ],
)
def test_dhcp_name(hostname: str, name: str) -> None:
    assert dhcp_name(make_card(make_network(), 5, hostname=hostname)) == name


def test_leases(tmp_path: Path) -> None:
    file = tmp_path / "leases"
    assert read(file) == {}
    file.write_text(
        "1795349221 fa:16:3e:80:00:05 10.80.0.5 vm5 01:fa:16:3e:80:00:05\n"
        "0 FA:16:3E:80:00:06 10.80.0.6 * *\n"
        "duid 00:01:00:01\n"
        "1795349221 1234 fd00::5 vm5 00:01\n"
        "half a line"
    )
    assert read(file) == {
        "10.80.0.5": ("fa:16:3e:80:00:05", "01:fa:16:3e:80:00:05"),
        "10.80.0.6": ("fa:16:3e:80:00:06", "*"),
    }


def test_release_packet() -> None:
    packet = release_packet("fa:16:3e:80:00:05", "10.80.0.5", "10.80.0.1", "01:fa:16:3e:80:00:05")
    assert struct.unpack("!BBB", packet[:3]) == (1, 1, 6)
    assert packet[12:16] == bytes([10, 80, 0, 5])
    assert packet[28:34] == bytes.fromhex("fa163e800005")
    assert packet[236:240] == b"\x63\x82\x53\x63"
    assert packet[240:] == bytes.fromhex("350107 36040a500001 3d0701fa163e800005 ff".replace(" ", ""))
    assert release_packet("fa:16:3e:80:00:05", "10.80.0.5", "10.80.0.1")[240:] == bytes.fromhex(
        "35010736040a500001ff"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cidr", "10.80.0.5/24"),
        ("cidr", "fd00::/64"),
        ("gateway", "10.81.0.1"),
        ("gateway", ""),
        ("dhcp_server", "10.81.0.1"),
        ("dns1", "dns.example.com"),
        ("bridge", "br100 { }"),
        ("bridge", "bridge-of-too-many-letters"),
        ("bridge_interface", "eth0;"),
        ("id", "../../etc"),
    ],
)
def test_networks_that_make_no_sense(field: str, value: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_network(make_network(0, **{field: value}))
    assert caught.value.detail.field == f"network.{field}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("field", ["id", "device", "mac_address", "address"])
def test_cards_that_make_no_sense(field: str) -> None:
    card = make_card(make_network(), 5, device="tapx")
    check_card(card)
    card.ClearField(field)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError):
        check_card(card)


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": NetworkMode.NETWORK_MODE_FLAT},
        {"mode": NetworkMode.NETWORK_MODE_VLAN},
        {"mode": NetworkMode.NETWORK_MODE_UNSPECIFIED},
        {"cidr_v6": "fd00::/64"},
    ],
)
def test_networks_that_come_later(changes: dict[str, object]) -> None:
    with pytest.raises(NotSupportedError):
        check_network(make_network(0, **changes))


def test_who_serves_a_network() -> None:
    assert serves(make_network(), "host1")
    assert serves(make_network(host="host1"), "host1")
    assert not serves(make_network(host="host2"), "host1")
    assert serves(make_network(host="host2", multi_host=True), "host1")


def test_traces_survive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "networks" / "traces.json"
    assert Traces.load(file) == Traces()
    traces = Traces(bridges={"br100": ""}, addresses=[["br100", "10.80.0.1/24"]], sysctls={"a": "0"})
    traces.save(file)
    assert Traces.load(file) == traces
    # dnsmasq reads its files there as another user.
    assert file.parent.stat().st_mode & 0o777 == 0o755
