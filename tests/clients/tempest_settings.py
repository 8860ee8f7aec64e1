"""What Tempest is told of this cloud, and which of its tests are left out; docs/tempest.md says the same."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """An option of tempest.conf that isn't Tempest's default, and why."""

    section: str
    option: str
    value: str
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """Tests that aren't run: a regular expression on their names, and why."""

    tests: str
    reason: str
    runs: tuple[str, ...] = ()
    """In these runs only; in all for none."""


@dataclass(frozen=True)
class Skipped:
    """A regular expression on what Tempest says when it leaves out a test, and what it means here."""

    says: str
    reason: str


@dataclass(frozen=True)
class Run:
    """One run of Tempest."""

    name: str
    reason: str
    """What it is for."""
    passes: int
    """Tests that pass at the least."""
    tests: str = r"^tempest\.api\.compute\."
    """A regular expression on their names."""
    minimum: str = ""
    """min_microversion: tests of older ones are left out, the others ask for this one at the least."""
    maximum: str = ""
    """max_microversion: tests of newer ones are left out."""
    network: str = ""
    """fixed_network_name. Tempest finds it by os-networks, which ended with 2.35."""
    settings: tuple[Setting, ...] = ()
    """Options of this run alone."""


SETTINGS = (
    Setting("auth", "create_isolated_networks", "false", "That would take Neutron."),
    Setting(
        "auth", "use_dynamic_credentials", "true", "Each class of tests has projects and users of its own."
    ),
    Setting("compute", "build_timeout", "60", "What takes longer has gone wrong."),
    Setting("compute", "flavor_ref", "1", "m1.tiny"),
    Setting("compute", "flavor_ref_alt", "2", "m1.small, to resize to"),
    Setting("compute", "min_compute_nodes", "2", "Two hosts: servers migrate between them."),
    Setting("compute-feature-enabled", "block_migration_for_live_migration", "true", "It is there."),
    Setting("compute-feature-enabled", "change_password", "true", "It is there."),
    Setting("compute-feature-enabled", "hostname_fqdn_sanitization", "true", "As Nova since Wallaby."),
    Setting("compute-feature-enabled", "interface_attach", "false", "Interfaces don't come and go yet."),
    Setting("compute-feature-enabled", "personality", "true", "It is there, to 2.56."),
    Setting("compute-feature-enabled", "resize", "true", "It is there."),
    Setting("compute-feature-enabled", "scheduler_enabled_filters", "all", "Every filter is on."),
    Setting("compute-feature-enabled", "stable_rescue", "true", "It is there, from 2.87."),
    Setting(
        "compute-feature-enabled",
        "xenapi_apis",
        "true",
        "Metadata of servers can be written.",
    ),
    Setting("service_available", "cinder", "false", "Volumes come later."),
    Setting(
        "service_available", "neutron", "false", "The cloud has networks of its own, as nova-network had."
    ),
    Setting("service_available", "swift", "false", "There is no object store."),
    Setting("validation", "connect_method", "fixed", "Floating IPs come later."),
    Setting("validation", "network_for_ssh", "private", "The network that a new cloud has."),
    Setting("validation", "security_group", "false", "Security groups come later."),
    Setting("validation", "security_group_rules", "false", "Security groups come later."),
)

LEFT_OUT = (
    LeftOut(r"\.compute\.floating_ips\.", "Floating IPs come later."),
    LeftOut(r"\.compute\.security_groups\.", "Security groups come later."),
    LeftOut(r"\.compute\.volumes\.", "Volumes come later."),
    LeftOut(r"\.compute\.certificates\.", "Certificates come later."),
    LeftOut(r"\.admin\.test_fixed_ips", "Administration of networks comes later."),
    LeftOut(r"\.admin\.test_security_groups\.", "Security groups come later."),
    LeftOut(r"\.QuotasSecurityGroupAdminNegativeTest\.", "Security groups come later."),
    LeftOut(r"\.test_remove_server_all_security_groups", "Security groups come later."),
    LeftOut(r"\.test_rescued_vm_add_remove_security_group", "Security groups come later."),
    LeftOut(r"\.test_live_migration_with_trunk", "It asks Neutron without looking whether there is one."),
    LeftOut(r"\.AgentsAdminTestJSON\.", "os-agents is gone, as from Nova."),
    LeftOut(r"\.test_reset_network_inject_network_info", "It is gone, as from Nova."),
    LeftOut(
        r"\.(ServerShowV247Test|ServerShowV254Test|ServerShowV257Test|ServerShowV263Test"
        r"|ServersAaction247Test|ServerDiagnosticsV248Test|ServersAdmin275Test|UnshelveToHostMultiNodesTest)\.",
        "Tempest looks for the network by os-networks, which ended with 2.35. The run `latest` has them.",
        ("oldest",),
    ),
    LeftOut(
        r"\.(test_multiple_create|test_list_server_addresses)\[",
        "From 2.37 on Tempest boots servers on no network, where there is no Neutron. `oldest` has it.",
        ("latest",),
    ),
    LeftOut(
        r"\.InstanceActionsTestJSON\.test_list_instance_actions",
        "Tempest's schema of that list lacks updated_at, which it has from 2.58 on. The run `oldest` has it.",
        ("latest",),
    ),
    LeftOut(
        r"\.test_get_list_deleted_instance_actions",
        "Tempest's schema of that list lacks updated_at, which it has from 2.58 on. The run `oldest` has it.",
        ("latest",),
    ),
)

SKIPPED = (
    Skipped(
        r"The microversion range\[.*\] of this test is out of the configuration range", "Another run has it."
    ),
    Skipped(
        r"Instance validation tests are disabled\.",
        "Pretended guests take no logins; the run `guests` has some.",
    ),
    Skipped(r"Neutron (is required|service must be available)", "There is none."),
    Skipped(
        r"(.*volume service is not available|Volume service not enabled\.|.* as Cinder is not available)",
        "Volumes come later.",
    ),
    Skipped(
        r"(Swapping volumes is not supported|Volume-backed live migration not available)",
        "Volumes come later.",
    ),
    Skipped(r"Block Live migration not configured for iSCSI", "Volumes come later."),
    Skipped(r"The public_network_id option must be specified\.", "Floating IPs come later."),
    Skipped(r"Serial console not supported\.", "Remote consoles come later."),
    Skipped(r"VNC Console feature is disabled\.", "Remote consoles come later."),
    Skipped(
        r"From microversion 2\.75 invalid parameters are not allowed\.",
        "The run `oldest` has it, at 2.53.",
    ),
    Skipped(r"nova-network is gone", "Tempest says so of every cloud with 2.61 or newer."),
    Skipped(
        r"fixed_network_name needs to be configured",
        "Tempest finds networks up to 2.35; the run `oldest` has it.",
    ),
    Skipped(r".*certified_image_ref.* required", "Certificates of images come later."),
)

_PRETENDED = (Setting("validation", "run_validation", "false", "Pretended guests take no logins."),)
RUNS = (
    Run(
        "oldest",
        "Each test at the oldest microversion that it takes, which is 2.1 for most.",
        passes=430,
        maximum="latest",
        network="private",
        settings=_PRETENDED,
    ),
    Run(
        "latest",
        "Each test at 2.79 or newer: what Tempest 35.0.0 knows of answers ends there.",
        passes=350,
        minimum="2.79",
        maximum="latest",
        settings=_PRETENDED,
    ),
)
# Tests in which Tempest looks at the guest, and one of an image of it.
_LOOKING = (
    *(r"test_create_server\.ServersTestJSON\.", r"ServerRescueTestJSON\.test_rescue_unrescue_instance"),
    r"ServerActionsTestJSON\.(test_reboot_server_hard|test_rebuild_server\[|test_resize_server_confirm\[)",
    r"ImagesTestJSON\.test_create_server_from_snapshot",
)
GUESTS = Run(
    "guests",
    "Guests that boot: create, reboot, rebuild, resize, rescue, snapshot.",
    passes=10,
    tests=rf"^tempest\.api\.compute\..*({'|'.join(_LOOKING)})",
    network="private",
    settings=(
        Setting("validation", "run_validation", "true", "Tempest logs in by ssh, as root, by a key."),
        Setting("validation", "ssh_key_type", "rsa", "The keys that Nova makes are RSA keys."),
        Setting("compute", "build_timeout", "300", "Emulated guests take their time."),
        Setting("compute", "min_compute_nodes", "1", "One host."),
        Setting("compute", "flavor_ref", "guest", "A flavor with the memory that the small guest needs."),
        Setting("compute", "flavor_ref_alt", "larger-guest", "The same with a larger disk, to resize to."),
    ),
)
