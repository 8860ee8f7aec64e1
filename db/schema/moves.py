"""Moves of instances between hosts and sizes.

Kept as messages, as instances are: `body` is the serialised novamesh.types.v1.Migration, and the other
columns are copies to filter and sort by, made by one function (db/instance_migrations.py).
"""

from sqlalchemy import Column, ForeignKey, Index, SmallInteger

from db.schema.base import Bytes, Id, Name, Number, Time, generation, table

migrations = table(
    "migrations",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    generation(),
    Column("body", Bytes, nullable=False),
    Column("instance_id", Id, ForeignKey("instances.id", ondelete="CASCADE"), nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("source_compute", Name, nullable=False),
    Column("dest_compute", Name, nullable=False),
    Column("held_host", Name, nullable=False),
    Column("user_id", Name, nullable=False),
    Column("project_id", Name, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Index(None, "instance_id", "status"),
    Index(None, "created_at", "number"),
    Index(None, "status", "updated_at"),
    Index(None, "updated_at"),
    Index(None, "source_compute"),
    Index(None, "dest_compute"),
)
