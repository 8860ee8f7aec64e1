"""Instances and what surrounds them: flavors, key pairs, hosts, roles that run, quotas.

An instance is kept as a message: `body` is the serialised novamesh.types.v1.Instance without its
interfaces, and the other columns are copies of the fields that a query filters or sorts by, made by one
function (db/instances.py). So reading a thousand is one statement and a thousand fast parses.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    UniqueConstraint,
)

from db.schema.base import Bytes, Id, Json, LongText, Name, Number, Time, generation, table

instances = table(
    "instances",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    generation(),
    Column("body", Bytes, nullable=False),
    Column("project_id", Name, nullable=False),
    Column("user_id", Name, nullable=False),
    Column("display_name", Name, nullable=False),
    Column("display_description", Name, nullable=False),
    Column("hostname", Name, nullable=False),
    Column("vm_state", SmallInteger, nullable=False),
    Column("task_state", SmallInteger, nullable=False),
    Column("power_state", SmallInteger, nullable=False),
    Column("progress", SmallInteger, nullable=False),
    Column("host", Name, nullable=False),
    Column("node", Name, nullable=False),
    Column("availability_zone", Name, nullable=False),
    Column("flavor_id", Name, nullable=False),
    Column("image_id", Name, nullable=False),
    Column("kernel_id", Name, nullable=False),
    Column("ramdisk_id", Name, nullable=False),
    Column("root_device_name", Name, nullable=False),
    Column("key_name", Name, nullable=False),
    Column("config_drive", Boolean, nullable=False),
    Column("access_ip_v4", String(39), nullable=False),
    Column("access_ip_v6", String(39), nullable=False),
    Column("reservation_id", Name, nullable=False),
    Column("launch_index", Integer, nullable=False),
    Column("locked", Boolean, nullable=False),
    # novamesh.types.v1.LockOwner.
    Column("locked_by", SmallInteger, nullable=False, server_default="0"),
    Column("auto_disk_config", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("launched_at", Time),
    Column("terminated_at", Time),
    # NULL for one that is there.
    Column("deleted_at", Time),
    # For lists of those that are there, which are few among those that were once.
    Index(None, "project_id", "deleted_at", "created_at"),
    Index(None, "deleted_at", "created_at"),
    Index(None, "host", "deleted_at", "created_at"),
    # For the work under way on hosts.
    Index(None, "task_state", "host"),
    Index(None, "updated_at"),
    Index(None, "reservation_id"),
)

# Copies of Instance.metadata and Instance.tags, for filters only.
instance_metadata = table(
    "instance_metadata",
    Column("instance_id", Id, ForeignKey("instances.id", ondelete="CASCADE"), nullable=False),
    Column("key", Name, nullable=False),
    Column("value", Name, nullable=False),
    PrimaryKeyConstraint("instance_id", "key"),
    Index(None, "key", "value"),
)

instance_tags = table(
    "instance_tags",
    Column("instance_id", Id, ForeignKey("instances.id", ondelete="CASCADE"), nullable=False),
    Column("tag", String(80), nullable=False),
    PrimaryKeyConstraint("instance_id", "tag"),
    Index(None, "tag"),
)

flavors = table(
    "flavors",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Name, nullable=False, unique=True),
    generation(),
    Column("name", Name, nullable=False, unique=True),
    Column("description", LongText, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mb", BigInteger, nullable=False),
    Column("root_gb", BigInteger, nullable=False),
    Column("ephemeral_gb", BigInteger, nullable=False),
    Column("swap_mb", BigInteger, nullable=False),
    Column("rxtx_factor", Double, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("extra_specs", Json, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time),
)

flavor_access = table(
    "flavor_access",
    Column("flavor_id", Name, ForeignKey("flavors.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", Name, nullable=False),
    PrimaryKeyConstraint("flavor_id", "project_id"),
)

keypairs = table(
    "keypairs",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("user_id", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("type", String(16), nullable=False),
    Column("public_key", LongText, nullable=False),
    Column("fingerprint", Name, nullable=False),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("user_id", "name"),
)

hosts = table(
    "hosts",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    generation(),
    Column("name", Name, nullable=False, unique=True),
    Column("address", Name, nullable=False),
    Column("network_address", Name, nullable=False),
    # What follows from the host's aggregates (db/schema/aggregates.py): its zone, the default one if they
    # have none, and their metadata, values of one key joined by a comma. NULL for none.
    Column("availability_zone", Name, nullable=False),
    Column("aggregate_metadata", Json),
    # Serialised novamesh.types.v1.HostInventory.
    Column("inventory", Bytes, nullable=False),
    # Claimed, what the host keeps for itself included; and how far claims may go, ratios applied.
    Column("vcpus_used", BigInteger, nullable=False),
    Column("vcpus_limit", BigInteger, nullable=False),
    Column("memory_mb_used", BigInteger, nullable=False),
    Column("memory_mb_limit", BigInteger, nullable=False),
    Column("disk_gb_used", BigInteger, nullable=False),
    Column("disk_gb_limit", BigInteger, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("reserved_vcpus", BigInteger, nullable=False),
    Column("reserved_memory_mb", BigInteger, nullable=False),
    Column("reserved_disk_gb", BigInteger, nullable=False),
    Column("cpu_allocation_ratio", Double, nullable=False),
    Column("ram_allocation_ratio", Double, nullable=False),
    Column("disk_allocation_ratio", Double, nullable=False),
    # True once an administrator has set them: the host's own configuration then no longer does.
    Column("ratios_set", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Name, nullable=False),
    Column("forced_down", Boolean, nullable=False),
    Column("disk_available_gb", BigInteger, nullable=False),
    Column("uptime", Name, nullable=False),
    Column("reported_at", Time, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

nodes = table(
    "nodes",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("role", String(64), nullable=False),
    Column("host", Name, nullable=False),
    Column("address", Name, nullable=False),
    Column("version", Name, nullable=False),
    Column("reported_at", Time, nullable=False),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("role", "host"),
)

# user_id is empty for the limits and the use of the whole project.
quotas = table(
    "quotas",
    Column("project_id", Name, nullable=False),
    Column("user_id", Name, nullable=False),
    Column("resource", String(64), nullable=False),
    Column("hard_limit", BigInteger, nullable=False),
    PrimaryKeyConstraint("project_id", "user_id", "resource"),
)

# Limits by class; those of the class `default` hold for every project.
quota_classes = table(
    "quota_classes",
    Column("class_name", Name, nullable=False),
    Column("resource", String(64), nullable=False),
    Column("hard_limit", BigInteger, nullable=False),
    PrimaryKeyConstraint("class_name", "resource"),
)

quota_usages = table(
    "quota_usages",
    Column("project_id", Name, nullable=False),
    Column("user_id", Name, nullable=False),
    Column("instances", BigInteger, nullable=False),
    Column("cores", BigInteger, nullable=False),
    Column("ram", BigInteger, nullable=False),
    PrimaryKeyConstraint("project_id", "user_id"),
)
