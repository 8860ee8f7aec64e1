"""Networks, the addresses on them, and the cards that hold them."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, SmallInteger, String, UniqueConstraint

from db.schema.base import Bytes, Id, Name, Number, Time, generation, table

networks = table(
    "networks",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    generation(),
    # Serialised novamesh.types.v1.Network; the columns below are copies to look for.
    Column("body", Bytes, nullable=False),
    Column("label", Name, nullable=False),
    Column("project_id", Name, nullable=False),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("project_id", "label"),
)

virtual_interfaces = table(
    "virtual_interfaces",
    Column("id", Id, primary_key=True),
    Column("instance_id", Id, nullable=False),
    Column("network_id", Id, ForeignKey("networks.id"), nullable=False),
    Column("mac_address", String(17), nullable=False),
    Column("address", String(39), nullable=False),
    Column("address_v6", String(39), nullable=False),
    Column("position", Integer, nullable=False),
    Column("hostname", Name, nullable=False),
    Column("host", Name, nullable=False),
    Column("tag", Name, nullable=False, server_default=""),
    Index(None, "instance_id"),
    Index(None, "host"),
    Index(None, "address"),
    Index(None, "address_v6"),
    UniqueConstraint("network_id", "mac_address"),
)

# One row for each address of a network, made with it, so that giving one out is locking a row.
FREE, TAKEN, RESERVED = 0, 1, 2
fixed_ips = table(
    "fixed_ips",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("network_id", Id, ForeignKey("networks.id", ondelete="CASCADE"), nullable=False),
    Column("address", String(39), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("interface_id", Id),
    Column("instance_id", Id),
    # The address that was given back longest ago is given out first; a new one before any other.
    Column("freed_at", Time, nullable=False),
    Column("leased", Boolean, nullable=False),
    UniqueConstraint("network_id", "address"),
    Index(None, "network_id", "state", "freed_at", "number"),
    Index(None, "instance_id"),
)
