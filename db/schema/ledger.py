"""The ledger of accepted work."""

from sqlalchemy import Column, Index, Integer, SmallInteger, UniqueConstraint

from db.schema.base import Bytes, Id, Json, LongText, Name, Number, Time, generation, table

operations = table(
    "operations",
    # Operations on one instance run in this order.
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    generation(),
    Column("kind", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("instance_id", Id, nullable=False),
    Column("project_id", Name, nullable=False),
    Column("user_id", Name, nullable=False),
    Column("request_id", Name, nullable=False),
    # Serialised novamesh.types.v1.OperationArguments.
    Column("arguments", Bytes, nullable=False),
    Column("step", Name, nullable=False),
    Column("progress", SmallInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    # Kept by a cancelled operation until its worker has let go: a delete waits for that.
    Column("lease_owner", Name, nullable=False),
    Column("lease_expires_at", Time, nullable=False),
    Column("not_before", Time, nullable=False),
    Column("error", LongText, nullable=False),
    Column("host", Name, nullable=False),
    # What a workflow keeps from one attempt to the next, for example the hosts that a create has tried.
    Column("memory", Json, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("started_at", Time),
    Column("finished_at", Time),
    UniqueConstraint("instance_id", "request_id", "kind"),
    Index(None, "request_id"),
    Index(None, "state", "not_before"),
    Index(None, "instance_id", "number"),
    Index(None, "lease_owner"),
    Index(None, "updated_at"),
)
