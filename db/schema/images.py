"""Tables of the embedded image service's records."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, UniqueConstraint

from db.schema.base import Id, Json, LongText, Name, Time, generation, table

# Tags and properties stand in the row, from which they are read; the two tables below are for searching.
images = table(
    "images",
    Column("id", Id, primary_key=True),
    generation(),
    Column("name", Name, nullable=False),
    # The Image API's words, by which lists are ordered.
    Column("status", String(16), nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("owner", Name, nullable=False),
    Column("disk_format", String(32), nullable=False),
    Column("container_format", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("virtual_size", BigInteger, nullable=False),
    Column("checksum", String(32), nullable=False),
    Column("os_hash_algo", String(64), nullable=False),
    Column("os_hash_value", String(128), nullable=False),
    Column("min_disk_gb", Integer, nullable=False),
    Column("min_ram_mb", Integer, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("tags", Json, nullable=False),
    Column("properties", Json, nullable=False),
    # Of the request that made it; the same request again finds it.
    Column("request_id", Name),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("request_id"),
    Index(None, "owner"),
    Index(None, "visibility"),
    Index(None, "name"),
    Index(None, "created_at", "id"),
)

image_tags = table(
    "image_tags",
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", Name, primary_key=True),
    Index(None, "tag"),
)

image_properties = table(
    "image_properties",
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("value", LongText, nullable=False),
    Index(None, "name"),
)

image_members = table(
    "image_members",
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Name, primary_key=True),
    generation(),
    Column("status", String(16), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Index(None, "project_id"),
)
