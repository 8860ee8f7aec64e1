"""What only older clients ask: networks of nova-network's time, and how each `nova` tells of mistakes.

Their days are in test_user_days.py and test_admin_days.py.
"""

import pytest

from tests.clients.shells import shell
from tests.cloud import Cloud

pytestmark = pytest.mark.client


def test_openstack_9_with_nova_network(two_hosts: Cloud) -> None:
    """The last `openstack` that speaks to nova-network."""
    with shell(two_hosts, "openstack", "python-openstackclient==9.0.1") as openstack:
        (listed,) = openstack.json("network", "list")
        assert (listed["Name"], listed["Subnet"]) == ("private", "10.80.0.0/24")
        shown = openstack.json("network", "show", "private")
        assert (shown["id"], shown["gateway"]) == (listed["ID"], "10.80.0.1")
        server = ("server", "create", "--image", "tiny", "--flavor", "m1.tiny", "--network", "private")
        made = openstack.json(*server, "--wait", "o9")
        assert (made["status"], list(made["addresses"])) == ("ACTIVE", ["private"])
        openstack("server", "delete", "o9")


@pytest.mark.parametrize("version", ["18.13.1", "7.1.2"])
def test_mistakes_with_nova(two_hosts: Cloud, version: str) -> None:
    with shell(two_hosts, "nova", f"python-novaclient=={version}") as nova:
        assert "No server with a name or ID of 'nobody' exists." in nova.refused("show", "nobody")
        boot = ("boot", "--image", "tiny", "--flavor", "m1.tiny")
        assert "Keypair no not found" in nova.refused(*boot, "--nic", "auto", "--key-name", "no", "x")
        assert "Policy doesn't allow os_compute_api:os-services:list" in nova.refused("service-list")
        assert nova.rows("list") == []
