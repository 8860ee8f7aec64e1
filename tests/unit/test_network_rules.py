"""nftables rules as text. That the kernel takes them, and what they do, is in the integration tests."""

from drivers.network.linux import LinuxNetworkOptions, rules
from drivers.testsuite.network import make_card, make_network

OPTIONS = LinuxNetworkOptions()


def section(text: str, start: str) -> list[str]:
    """The lines between `start {` and its closing brace."""
    inside = text.partition(f"{start} {{\n")[2].partition("    }\n")[0]
    return [line.strip() for line in inside.splitlines()]


def test_full_replaces_both_tables_at_once() -> None:
    text = rules.full(OPTIONS, [make_network()], [])
    assert text.splitlines()[:4] == [
        "table bridge novamesh",
        "delete table bridge novamesh",
        "table inet novamesh",
        "delete table inet novamesh",
    ]
    assert text.count("table bridge novamesh {") == text.count("table inet novamesh {") == 1


def test_a_card_is_four_set_elements() -> None:
    text = rules.full(OPTIONS, [make_network()], [make_card(make_network(), 5)], ["tapold"])
    assert 'set cards { type ifname; elements = { "tap00050080-4d" } }' in text
    assert 'elements = { "tap00050080-4d" . fa:16:3e:80:00:05 } }' in text
    assert 'elements = { "tap00050080-4d" . 10.80.0.5 } }' in text
    assert "elements = { fa:16:3e:80:00:05 . 0xfa163e800005 } }" in text
    assert 'set strangers { type ifname; elements = { "tapold" } }' in text


def test_an_empty_host_has_empty_sets() -> None:
    text = rules.full(OPTIONS, [], [])
    assert "elements" not in text
    assert section(text, "chain from_guest") == ["", "drop"]


def test_change_removes_before_it_adds() -> None:
    network = make_network()
    old, new = make_card(network, 5), make_card(network, 5, address="10.80.0.77")
    lines = rules.change("novamesh", [old], [new]).splitlines()
    gone = lines.index('delete element bridge novamesh addresses { "tap00050080-4d" . 10.80.0.5 }')
    come = lines.index('add element bridge novamesh addresses { "tap00050080-4d" . 10.80.0.77 }')
    assert gone < come
    stranger = lines.index('add element bridge novamesh strangers { "tap00050080-4d" }')
    known = lines.index('delete element bridge novamesh strangers { "tap00050080-4d" }')
    assert stranger < known < come


def test_an_unplugged_card_stays_a_stranger() -> None:
    lines = rules.change("novamesh", [make_card(make_network(), 5)], []).splitlines()
    assert lines[-1] == 'add element bridge novamesh strangers { "tap00050080-4d" }'


def test_metadata_goes_where_the_options_say() -> None:
    options = LinuxNetworkOptions(metadata_host="192.0.2.9", metadata_port=18775)
    text = rules.full(options, [make_network()], [])
    assert "ip daddr 169.254.169.254 tcp dport 80 dnat ip to 192.0.2.9:18775" in text
    # It must see the guest's own address.
    assert section(text, "chain nat_out")[1] == "ip saddr @fixed ip daddr { 192.0.2.9 } accept"


def test_nat_leaves_by_the_public_interface() -> None:
    options = LinuxNetworkOptions(public_interface="eth7", dmz_cidr=("192.0.2.0/24",))
    lines = section(rules.full(options, [make_network()], []), "chain nat_out")
    assert lines[1:] == [
        "ip saddr @fixed ip daddr { 192.0.2.0/24, 169.254.87.75 } accept",
        'ip saddr @fixed ip daddr != @fixed oifname "eth7" masquerade',
    ]


def test_what_guests_may_ask_of_the_host() -> None:
    options = LinuxNetworkOptions(serve_dns=False, guest_tcp_ports=(8774, 5000))
    lines = section(rules.full(options, [make_network()], []), "chain to_host")
    assert lines == [
        "ct state established,related accept",
        "ip daddr 169.254.87.75 tcp dport 8775 ct status dnat accept",
        "udp dport 67 accept",
        "icmp type echo-request accept",
        "tcp dport { 8774, 5000 } accept",
        "drop",
    ]
    assert "udp dport 53 accept" in section(rules.full(OPTIONS, [make_network()], []), "chain to_host")


def test_each_network_leaves_under_its_own_addresses() -> None:
    lines = section(rules.full(OPTIONS, [make_network(0), make_network(1)], []), "chain from_guest")
    assert lines == [
        'iifname "br100" ip saddr 10.80.0.0/24 goto forward_out',
        'iifname "br101" ip saddr 10.81.0.0/24 goto forward_out',
        "drop",
    ]


def test_another_cloud_has_tables_of_its_own() -> None:
    text = rules.full(LinuxNetworkOptions(nft_table="second"), [make_network()], [])
    assert "novamesh" not in text
    assert "novamesh" not in rules.change("second", [make_card(make_network(), 5)], [])
