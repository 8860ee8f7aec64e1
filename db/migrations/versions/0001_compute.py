"""The tables of compute, networks and the ledger."""

import sqlalchemy as sa
from alembic import op

from db.migrate import DowngradeRefusedError
from db.schema import base

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "flavors",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", base.LongText, nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.BigInteger(), nullable=False),
        sa.Column("root_gb", sa.BigInteger(), nullable=False),
        sa.Column("ephemeral_gb", sa.BigInteger(), nullable=False),
        sa.Column("swap_mb", sa.BigInteger(), nullable=False),
        sa.Column("rxtx_factor", sa.Double(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("extra_specs", base.Json(), nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_flavors")),
        sa.UniqueConstraint("id", name=op.f("uq_flavors_id")),
        sa.UniqueConstraint("name", name=op.f("uq_flavors_name")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "hosts",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("network_address", sa.String(length=255), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column("inventory", base.Bytes, nullable=False),
        sa.Column("vcpus_used", sa.BigInteger(), nullable=False),
        sa.Column("vcpus_limit", sa.BigInteger(), nullable=False),
        sa.Column("memory_mb_used", sa.BigInteger(), nullable=False),
        sa.Column("memory_mb_limit", sa.BigInteger(), nullable=False),
        sa.Column("disk_gb_used", sa.BigInteger(), nullable=False),
        sa.Column("disk_gb_limit", sa.BigInteger(), nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("reserved_vcpus", sa.BigInteger(), nullable=False),
        sa.Column("reserved_memory_mb", sa.BigInteger(), nullable=False),
        sa.Column("reserved_disk_gb", sa.BigInteger(), nullable=False),
        sa.Column("cpu_allocation_ratio", sa.Double(), nullable=False),
        sa.Column("ram_allocation_ratio", sa.Double(), nullable=False),
        sa.Column("disk_allocation_ratio", sa.Double(), nullable=False),
        sa.Column("zone_set", sa.Boolean(), nullable=False),
        sa.Column("ratios_set", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(length=255), nullable=False),
        sa.Column("forced_down", sa.Boolean(), nullable=False),
        sa.Column("disk_available_gb", sa.BigInteger(), nullable=False),
        sa.Column("uptime", sa.String(length=255), nullable=False),
        sa.Column("reported_at", base.Time, nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_hosts")),
        sa.UniqueConstraint("id", name=op.f("uq_hosts_id")),
        sa.UniqueConstraint("name", name=op.f("uq_hosts_name")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "instances",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("body", base.Bytes, nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("display_name", sa.String(length=255), nullable=False),
        sa.Column("display_description", sa.String(length=255), nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("vm_state", sa.SmallInteger(), nullable=False),
        sa.Column("task_state", sa.SmallInteger(), nullable=False),
        sa.Column("power_state", sa.SmallInteger(), nullable=False),
        sa.Column("progress", sa.SmallInteger(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column("flavor_id", sa.String(length=255), nullable=False),
        sa.Column("image_id", sa.String(length=255), nullable=False),
        sa.Column("kernel_id", sa.String(length=255), nullable=False),
        sa.Column("ramdisk_id", sa.String(length=255), nullable=False),
        sa.Column("root_device_name", sa.String(length=255), nullable=False),
        sa.Column("key_name", sa.String(length=255), nullable=False),
        sa.Column("config_drive", sa.Boolean(), nullable=False),
        sa.Column("access_ip_v4", sa.String(length=39), nullable=False),
        sa.Column("access_ip_v6", sa.String(length=39), nullable=False),
        sa.Column("reservation_id", sa.String(length=255), nullable=False),
        sa.Column("launch_index", sa.Integer(), nullable=False),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.Column("auto_disk_config", sa.Boolean(), nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=False),
        sa.Column("launched_at", base.Time, nullable=True),
        sa.Column("terminated_at", base.Time, nullable=True),
        sa.Column("deleted_at", base.Time, nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_instances")),
        sa.UniqueConstraint("id", name=op.f("uq_instances_id")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_instances_created_at"), "instances", ["created_at"], unique=False)
    op.create_index(op.f("ix_instances_host_deleted_at"), "instances", ["host", "deleted_at"], unique=False)
    op.create_index(
        op.f("ix_instances_project_id_created_at"), "instances", ["project_id", "created_at"], unique=False
    )
    op.create_index(op.f("ix_instances_reservation_id"), "instances", ["reservation_id"], unique=False)
    op.create_index(op.f("ix_instances_updated_at"), "instances", ["updated_at"], unique=False)
    op.create_table(
        "keypairs",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("public_key", base.LongText, nullable=False),
        sa.Column("fingerprint", sa.String(length=255), nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_keypairs")),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_keypairs_user_id_name")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "networks",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("body", base.Bytes, nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_networks")),
        sa.UniqueConstraint("id", name=op.f("uq_networks_id")),
        sa.UniqueConstraint("project_id", "label", name=op.f("uq_networks_project_id_label")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "nodes",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("reported_at", base.Time, nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_nodes")),
        sa.UniqueConstraint("id", name=op.f("uq_nodes_id")),
        sa.UniqueConstraint("role", "host", name=op.f("uq_nodes_role_host")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "operations",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.String(length=255), nullable=False),
        sa.Column("arguments", base.Bytes, nullable=False),
        sa.Column("step", sa.String(length=255), nullable=False),
        sa.Column("progress", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=255), nullable=False),
        sa.Column("lease_expires_at", base.Time, nullable=False),
        sa.Column("not_before", base.Time, nullable=False),
        sa.Column("error", base.LongText, nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("memory", base.Json(), nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=False),
        sa.Column("started_at", base.Time, nullable=True),
        sa.Column("finished_at", base.Time, nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_operations")),
        sa.UniqueConstraint("id", name=op.f("uq_operations_id")),
        sa.UniqueConstraint(
            "instance_id", "request_id", "kind", name=op.f("uq_operations_instance_id_request_id_kind")
        ),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_operations_instance_id_number"), "operations", ["instance_id", "number"], unique=False
    )
    op.create_index(op.f("ix_operations_lease_owner"), "operations", ["lease_owner"], unique=False)
    op.create_index(op.f("ix_operations_request_id"), "operations", ["request_id"], unique=False)
    op.create_index(
        op.f("ix_operations_state_not_before"), "operations", ["state", "not_before"], unique=False
    )
    op.create_index(op.f("ix_operations_updated_at"), "operations", ["updated_at"], unique=False)
    op.create_table(
        "quota_usages",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.Column("cores", sa.BigInteger(), nullable=False),
        sa.Column("ram", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "user_id", name=op.f("pk_quota_usages")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "quotas",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("hard_limit", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "user_id", "resource", name=op.f("pk_quotas")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "fixed_ips",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(length=39), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("interface_id", sa.String(length=36), nullable=True),
        sa.Column("instance_id", sa.String(length=36), nullable=True),
        sa.Column("freed_at", base.Time, nullable=False),
        sa.Column("leased", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_fixed_ips_network_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_fixed_ips")),
        sa.UniqueConstraint("network_id", "address", name=op.f("uq_fixed_ips_network_id_address")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_fixed_ips_instance_id"), "fixed_ips", ["instance_id"], unique=False)
    op.create_index(
        op.f("ix_fixed_ips_network_id_state_freed_at_number"),
        "fixed_ips",
        ["network_id", "state", "freed_at", "number"],
        unique=False,
    )
    op.create_table(
        "flavor_access",
        sa.Column("flavor_id", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["flavor_id"], ["flavors.id"], name=op.f("fk_flavor_access_flavor_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("flavor_id", "project_id", name=op.f("pk_flavor_access")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "instance_metadata",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["instances.id"],
            name=op.f("fk_instance_metadata_instance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("instance_id", "key", name=op.f("pk_instance_metadata")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_instance_metadata_key_value"), "instance_metadata", ["key", "value"], unique=False
    )
    op.create_table(
        "instance_tags",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("tag", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_instance_tags_instance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("instance_id", "tag", name=op.f("pk_instance_tags")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_instance_tags_tag"), "instance_tags", ["tag"], unique=False)
    op.create_table(
        "virtual_interfaces",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("mac_address", sa.String(length=17), nullable=False),
        sa.Column("address", sa.String(length=39), nullable=False),
        sa.Column("address_v6", sa.String(length=39), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_virtual_interfaces_network_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_virtual_interfaces")),
        sa.UniqueConstraint(
            "network_id", "mac_address", name=op.f("uq_virtual_interfaces_network_id_mac_address")
        ),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_virtual_interfaces_address"), "virtual_interfaces", ["address"], unique=False)
    op.create_index(
        op.f("ix_virtual_interfaces_address_v6"), "virtual_interfaces", ["address_v6"], unique=False
    )
    op.create_index(op.f("ix_virtual_interfaces_host"), "virtual_interfaces", ["host"], unique=False)
    op.create_index(
        op.f("ix_virtual_interfaces_instance_id"), "virtual_interfaces", ["instance_id"], unique=False
    )


def downgrade() -> None:
    """Refused: rows would be lost."""
    raise DowngradeRefusedError(revision)
