"""What clients can ask for and this cloud refuses, or the client itself; docs/clients.md says the same."""

from dataclasses import dataclass

OPENSTACK = "python-openstackclient==10.5.0"
OPENSTACK_9 = "python-openstackclient==9.0.1"
NOVA = "python-novaclient==18.13.1"
NOVA_7 = "python-novaclient==7.1.2"
PROGRAMS = {OPENSTACK: "openstack", OPENSTACK_9: "openstack", NOVA: "nova", NOVA_7: "nova"}
# The server that is there when they are asked.
SERVER = "front"


@dataclass(frozen=True)
class Refusal:
    """A command that doesn't exit with 0, and the sentence that says why."""

    clients: tuple[str, ...]
    command: str
    says: str
    reason: str
    user: str = "user"
    """`admin` where a user would be refused for another reason."""


_CARDS = "Network cards of this cloud come and go with their servers."
_GROUPS = "This cloud has no security groups but `default`, which cannot be changed."
_CONSOLES = "this cloud has no remote consoles."
_FLOATING = "This cloud has no floating IP addresses."
_NO_NEUTRON = "The service is not present in the service catalog"
_LATER_NETWORKS = "Networks are administered later."

REFUSALS = (
    Refusal(
        (OPENSTACK,),
        "network list",
        _NO_NEUTRON,
        "There is no Neutron. `server create --network NAME` finds networks all the same; 9.0.1 lists them.",
    ),
    Refusal((OPENSTACK_9,), "floating ip list", _FLOATING, _LATER_NETWORKS),
    Refusal((OPENSTACK_9,), "security group list", _GROUPS, _LATER_NETWORKS),
    Refusal((OPENSTACK, OPENSTACK_9), "server add security group front default", _GROUPS, _LATER_NETWORKS),
    Refusal((OPENSTACK, OPENSTACK_9), "server add network front private", _CARDS, _LATER_NETWORKS),
    Refusal((OPENSTACK, OPENSTACK_9), "server add volume front v", _NO_NEUTRON, "There are no volumes."),
    Refusal((OPENSTACK,), "server add share front s", _NO_NEUTRON, "There are no shares."),
    Refusal((OPENSTACK, OPENSTACK_9), "console url show front", _CONSOLES, "Remote consoles come later."),
    Refusal(
        (OPENSTACK, OPENSTACK_9), "compute agent list", "Nova 22.0.0 removed", "Gone, as from Nova.", "admin"
    ),
    Refusal((NOVA,), "list-secgroup front", _GROUPS, _LATER_NETWORKS),
    Refusal((NOVA, NOVA_7), "add-secgroup front default", _GROUPS, _LATER_NETWORKS),
    Refusal((NOVA, NOVA_7), "interface-attach --net-id n front", _CARDS, _LATER_NETWORKS),
    Refusal((NOVA, NOVA_7), "volume-attach front v", "This cloud has no volumes.", "There are no volumes."),
    Refusal((NOVA, NOVA_7), "get-vnc-console front novnc", _CONSOLES, "Remote consoles come later."),
    Refusal((NOVA, NOVA_7), "reset-network front", "Nova 23.0.0 removed", "Gone, as from Nova.", "admin"),
    Refusal((NOVA, NOVA_7), "agent-list", "Nova 22.0.0 removed", "Gone, as from Nova.", "admin"),
    Refusal(
        (NOVA,),
        "hypervisor-stats",
        "not supported in API version 2.88 or later",
        "By the client: `nova --os-compute-api-version 2.87 hypervisor-stats`.",
        "admin",
    ),
    Refusal(
        (NOVA,),
        "hypervisor-show second",
        "Invalid uuid second",
        "From 2.53 on hypervisors are named by UUIDs, as in Nova.",
        "admin",
    ),
    Refusal(
        (NOVA,),
        "limits --reserved",
        "'reserved' was unexpected",
        "From 2.75 on unknown parameters are refused, as in Nova.",
    ),
    Refusal((NOVA_7,), "floating-ip-list", _FLOATING, _LATER_NETWORKS),
    Refusal((NOVA_7,), "secgroup-list", _GROUPS, _LATER_NETWORKS),
    Refusal(
        (NOVA_7,), "fixed-ip-get 10.80.0.2", "Fixed IP addresses of this cloud", _LATER_NETWORKS, "admin"
    ),
    Refusal(
        (NOVA_7,),
        "network-disassociate private",
        "cannot be administered in this way",
        _LATER_NETWORKS,
        "admin",
    ),
    Refusal((NOVA_7,), "x509-create-cert", "gives no certificates", "Certificates come later."),
    Refusal((NOVA_7,), "cloudpipe-list", "no VPN servers of projects", "Certificates come later."),
    Refusal((NOVA_7,), "cell-capacities", "Nova 20.0.0 removed", "Gone, as from Nova.", "admin"),
    Refusal(
        (NOVA_7,),
        "baremetal-node-list",
        "API version '2.41' is not supported",
        "By the client, which asks for it at 2.35 only if told to.",
        "admin",
    ),
)


def refusal_table() -> str:
    """The table of docs/clients.md."""
    lines = ["| client | command | says | why |", "| --- | --- | --- | --- |"]
    for each in REFUSALS:
        clients = ", ".join(client.removeprefix("python-").replace("==", " ") for client in each.clients)
        lines.append(f"| {clients} | `{each.command}` | {each.says} | {each.reason} |")
    return "\n".join(lines)
