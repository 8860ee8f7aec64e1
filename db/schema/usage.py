"""What instances used, and what the usage audit did."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, UniqueConstraint

from db.schema.base import Id, LongText, Name, Number, Time, table

# One row for each time in which an instance had one flavor. Moments are microseconds since 1970 (UTC), so
# that every database can subtract them.
usage_periods = table(
    "usage_periods",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("instance_id", Id, ForeignKey("instances.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", Name, nullable=False),
    Column("flavor_name", Name, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mb", BigInteger, nullable=False),
    # Root and ephemeral disks.
    Column("local_gb", BigInteger, nullable=False),
    Column("began", BigInteger, nullable=False),
    # NULL while it lasts.
    Column("ended", BigInteger),
    Index(None, "instance_id", "ended"),
    Index(None, "project_id", "ended"),
    Index(None, "ended"),
)

# One row for each run of the usage audit over a host and a period.
usage_audits = table(
    "usage_audits",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("host", Name, nullable=False),
    Column("period_beginning", Time, nullable=False),
    Column("period_ending", Time, nullable=False),
    # RUNNING or DONE.
    Column("state", String(16), nullable=False),
    Column("instances", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("message", LongText, nullable=False),
    Column("started_at", Time, nullable=False),
    UniqueConstraint("host", "period_beginning", "period_ending"),
    Index(None, "period_beginning", "period_ending"),
)
