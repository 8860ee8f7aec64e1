"""Server groups and their members."""

from sqlalchemy import Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, String

from db.schema.base import Id, Name, Number, Time, generation, table

server_groups = table(
    "server_groups",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    generation(),
    Column("project_id", Name, nullable=False),
    Column("user_id", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("policy", String(32), nullable=False),
    # Members that one host may have under anti-affinity; 0 where nobody has said.
    Column("max_server_per_host", Integer, nullable=False),
    Column("created_at", Time, nullable=False),
    Index(None, "project_id", "number"),
)

# An instance is in one group at most, from its acceptance until it is deleted.
server_group_members = table(
    "server_group_members",
    Column("instance_id", Id, ForeignKey("instances.id", ondelete="CASCADE"), nullable=False),
    Column("group_id", Id, ForeignKey("server_groups.id", ondelete="CASCADE"), nullable=False),
    PrimaryKeyConstraint("instance_id"),
    Index(None, "group_id"),
)
