"""The list of extensions that v2 clients look at before they dare to ask."""

from typing import Any, NamedTuple

from gateway.compute.backends import ComputeRequest
from gateway.faults import HttpError
from gateway.routes import Route

_RULE = "os_compute_api:extensions"


class Extension(NamedTuple):
    """An extension by the alias that clients test for."""

    alias: str
    name: str
    description: str


# All that Nova lists, in its order: what the API has words for. docs/api-coverage.md says what works.
EXTENSIONS = (
    Extension("NMN", "Multinic", "Servers with several network cards."),
    Extension("OS-DCF", "DiskConfig", "How a server's disk is partitioned when it is built."),
    Extension("OS-EXT-AZ", "ExtendedAvailabilityZone", "Availability zone in servers."),
    Extension("OS-EXT-IMG-SIZE", "ImageSize", "Size in images."),
    Extension("OS-EXT-IPS", "ExtendedIps", "Kind of each address in servers."),
    Extension("OS-EXT-IPS-MAC", "ExtendedIpsMac", "MAC address of each address in servers."),
    Extension("OS-EXT-SRV-ATTR", "ExtendedServerAttributes", "Host and hypervisor in servers."),
    Extension("OS-EXT-STS", "ExtendedStatus", "States and tasks in servers."),
    Extension("OS-EXT-VIF-NET", "ExtendedVIFNet", "Network in virtual interfaces."),
    Extension("OS-FLV-DISABLED", "FlavorDisabled", "Whether a flavor is disabled."),
    Extension("OS-FLV-EXT-DATA", "FlavorExtraData", "Ephemeral disk in flavors."),
    Extension("OS-SCH-HNT", "SchedulerHints", "Hints to the scheduler at create."),
    Extension("OS-SRV-USG", "ServerUsage", "Times of launch and end in servers."),
    Extension("os-access-ips", "AccessIPs", "Addresses that users give to servers."),
    Extension("os-admin-actions", "AdminActions", "What administrators do to servers."),
    Extension("os-admin-password", "AdminPassword", "Change the administrator's password of a server."),
    Extension("os-agents", "Agents", "Builds of the hypervisor agent."),
    Extension("os-aggregates", "Aggregates", "Host aggregates."),
    Extension(
        "os-assisted-volume-snapshots",
        "AssistedVolumeSnapshots",
        "Volume snapshots with the help of the hypervisor.",
    ),
    Extension("os-attach-interfaces", "AttachInterfaces", "Network cards of servers."),
    Extension("os-availability-zone", "AvailabilityZone", "Availability zones and what is in them."),
    Extension("os-baremetal-ext-status", "BareMetalExtStatus", "More of the state of bare metal nodes."),
    Extension("os-baremetal-nodes", "BareMetalNodes", "Bare metal nodes."),
    Extension("os-block-device-mapping", "BlockDeviceMapping", "Block devices at create."),
    Extension(
        "os-block-device-mapping-v2-boot", "BlockDeviceMappingV2Boot", "Block devices at create, second form."
    ),
    Extension("os-cell-capacities", "CellCapacities", "Capacities of cells."),
    Extension("os-cells", "Cells", "Cells."),
    Extension("os-certificates", "Certificates", "X.509 certificates."),
    Extension("os-cloudpipe", "Cloudpipe", "VPN servers of projects."),
    Extension("os-cloudpipe-update", "CloudpipeUpdate", "Address and port of a project's VPN server."),
    Extension("os-config-drive", "ConfigDrive", "Configuration drives of servers."),
    Extension("os-console-auth-tokens", "ConsoleAuthTokens", "What a console's token leads to."),
    Extension("os-console-output", "ConsoleOutput", "What a server prints on its console."),
    Extension("os-consoles", "Consoles", "Remote consoles of servers."),
    Extension("os-create-backup", "CreateBackup", "Backups of servers, rotated."),
    Extension("os-create-server-ext", "Createserverext", "More fields at create."),
    Extension("os-deferred-delete", "DeferredDelete", "Deleted servers that can be restored."),
    Extension("os-evacuate", "Evacuate", "Build servers of a failed host anew elsewhere."),
    Extension(
        "os-extended-evacuate-find-host",
        "ExtendedEvacuateFindHost",
        "Evacuate to a host that the scheduler chooses.",
    ),
    Extension(
        "os-extended-floating-ips", "ExtendedFloatingIps", "Fixed address that a floating one is added to."
    ),
    Extension("os-extended-hypervisors", "ExtendedHypervisors", "Address of hypervisors."),
    Extension("os-extended-networks", "ExtendedNetworks", "More fields of networks."),
    Extension("os-extended-quotas", "ExtendedQuotas", "Delete quotas, and force them below what is used."),
    Extension("os-extended-rescue-with-image", "ExtendedRescueWithImage", "Image to rescue with."),
    Extension("os-extended-services", "ExtendedServices", "Reasons of disabled services."),
    Extension("os-extended-services-delete", "ExtendedServicesDelete", "Delete services."),
    Extension("os-extended-status", "ExtendedStatus", "States and tasks in servers."),
    Extension("os-extended-volumes", "ExtendedVolumes", "Volumes in servers."),
    Extension("os-fixed-ips", "FixedIPs", "Fixed addresses."),
    Extension("os-flavor-access", "FlavorAccess", "Who may use a flavor."),
    Extension("os-flavor-extra-specs", "FlavorExtraSpecs", "Extra specs of flavors."),
    Extension("os-flavor-manage", "FlavorManage", "Create and delete flavors."),
    Extension("os-flavor-rxtx", "FlavorRxtx", "Network factor of flavors."),
    Extension("os-flavor-swap", "FlavorSwap", "Swap of flavors."),
    Extension("os-floating-ip-dns", "FloatingIpDns", "Names of floating addresses."),
    Extension("os-floating-ip-pools", "FloatingIpPools", "Pools of floating addresses."),
    Extension("os-floating-ips", "FloatingIps", "Floating addresses."),
    Extension("os-floating-ips-bulk", "FloatingIpsBulk", "Many floating addresses at once."),
    Extension("os-fping", "Fping", "Ping servers."),
    Extension(
        "os-hide-server-addresses", "HideServerAddresses", "No addresses of servers that are being built."
    ),
    Extension("os-hosts", "Hosts", "Hosts."),
    Extension("os-hypervisor-status", "HypervisorStatus", "Whether hypervisors are up and enabled."),
    Extension("os-hypervisors", "Hypervisors", "Hypervisors."),
    Extension("os-instance-actions", "InstanceActions", "What was done to a server."),
    Extension("os-instance_usage_audit_log", "OSInstanceUsageAuditLog", "Audits of what servers used."),
    Extension("os-keypairs", "Keypairs", "Key pairs."),
    Extension("os-lock-server", "LockServer", "Lock and unlock servers."),
    Extension("os-migrate-server", "MigrateServer", "Migrate servers, running or not."),
    Extension("os-migrations", "Migrations", "Migrations."),
    Extension("os-multiple-create", "MultipleCreate", "Several servers at once."),
    Extension("os-networks", "Networks", "Networks."),
    Extension("os-networks-associate", "NetworkAssociationSupport", "Networks of hosts and projects."),
    Extension("os-pause-server", "PauseServer", "Pause and unpause servers."),
    Extension("os-personality", "Personality", "Files put into servers."),
    Extension(
        "os-preserve-ephemeral-rebuild", "PreserveEphemeralOnRebuild", "Keep ephemeral disks in a rebuild."
    ),
    Extension("os-quota-class-sets", "QuotaClasses", "Quota classes."),
    Extension("os-quota-sets", "Quotas", "Quotas."),
    Extension("os-rescue", "Rescue", "Rescue servers."),
    Extension(
        "os-security-group-default-rules",
        "SecurityGroupDefaultRules",
        "Rules of new `default` security groups.",
    ),
    Extension("os-security-groups", "SecurityGroups", "Security groups."),
    Extension("os-server-diagnostics", "ServerDiagnostics", "Diagnostics of servers."),
    Extension("os-server-external-events", "ServerExternalEvents", "What other services tell about servers."),
    Extension("os-server-group-quotas", "ServerGroupQuotas", "Quotas of server groups."),
    Extension("os-server-groups", "ServerGroups", "Server groups."),
    Extension(
        "os-server-list-multi-status", "ServerListMultiStatus", "Servers of several states in one list."
    ),
    Extension("os-server-password", "ServerPassword", "Passwords that guests have set."),
    Extension("os-server-sort-keys", "ServerSortKeys", "Sorted lists of servers."),
    Extension("os-server-start-stop", "ServerStartStop", "Start and stop servers."),
    Extension("os-services", "Services", "Services."),
    Extension("os-shelve", "Shelve", "Shelve servers."),
    Extension("os-simple-tenant-usage", "SimpleTenantUsage", "What projects used."),
    Extension("os-suspend-server", "SuspendServer", "Suspend and resume servers."),
    Extension("os-tenant-networks", "OSTenantNetworks", "Networks of a project."),
    Extension("os-used-limits", "UsedLimits", "What of the limits is used."),
    Extension("os-used-limits-for-admin", "UsedLimitsForAdmin", "What of another project's limits is used."),
    Extension("os-user-data", "UserData", "User data of servers."),
    Extension("os-user-quotas", "UserQuotas", "Quotas of users."),
    Extension("os-virtual-interfaces", "VirtualInterfaces", "Virtual interfaces of servers."),
    Extension("os-volume-attachment-update", "VolumeAttachmentUpdate", "Swap an attached volume."),
    Extension("os-volumes", "Volumes", "Volumes and their attachments."),
)
# Only the face from before microversions lists it.
_LEGACY = "OS-EXT-VIF-NET"


def _view(extension: Extension) -> dict[str, Any]:
    return {
        "alias": extension.alias,
        "description": extension.description,
        "links": [],
        "name": extension.name,
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
    }


def _listed(call: ComputeRequest) -> list[Extension]:
    return [extension for extension in EXTENSIONS if call.legacy or extension.alias != _LEGACY]


async def index(call: ComputeRequest) -> object:
    """GET /extensions."""
    return {"extensions": [_view(extension) for extension in _listed(call)]}


async def show(call: ComputeRequest) -> object:
    """GET /extensions/{alias}."""
    alias = call.path["id"]
    for extension in _listed(call):
        if extension.alias == alias:
            return {"extension": _view(extension)}
    raise HttpError(404, f"Extension {alias} not found.")


ROUTES = (
    Route("GET", "/extensions", _RULE, index),
    Route("GET", "/extensions/{id}", _RULE, show),
)
