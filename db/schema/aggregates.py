"""Host aggregates and the hosts in them."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, PrimaryKeyConstraint

from db.schema.base import Id, Json, Name, Number, Time, generation, table

aggregates = table(
    "aggregates",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    generation(),
    Column("name", Name, nullable=False, unique=True),
    # Empty for an aggregate that is no zone.
    Column("availability_zone", Name, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time),
)

# hosts.availability_zone and hosts.aggregate_metadata are copies of what follows from these two tables, made
# by db.hosts.derive in the transaction that changes them.
aggregate_hosts = table(
    "aggregate_hosts",
    Column("aggregate", Number, ForeignKey("aggregates.number"), nullable=False),
    Column("host", Name, ForeignKey("hosts.name", ondelete="CASCADE"), nullable=False),
    # Place in the order in which hosts were added to this aggregate.
    Column("position", BigInteger, nullable=False),
    PrimaryKeyConstraint("aggregate", "host"),
    Index(None, "host"),
)
