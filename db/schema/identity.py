"""Users, what they belong to, what they may, and how they prove who they are."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    UniqueConstraint,
)

from db.schema.base import Bytes, Id, Json, LongText, Name, Number, Time, generation, table

domains = table(
    "domains",
    Column("id", Id, primary_key=True),
    generation(),
    Column("name", Name, nullable=False, unique=True),
    Column("description", LongText, nullable=False),
    Column("enabled", Boolean, nullable=False),
    # Of the request that made it; the same request again finds it. So in the other tables.
    Column("request_id", Name, unique=True),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

projects = table(
    "projects",
    Column("id", Id, primary_key=True),
    generation(),
    Column("domain_id", Id, ForeignKey("domains.id", ondelete="CASCADE"), nullable=False),
    Column("name", Name, nullable=False),
    Column("description", LongText, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("tags", Json, nullable=False),
    Column("request_id", Name, unique=True),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

users = table(
    "users",
    Column("id", Id, primary_key=True),
    generation(),
    Column("domain_id", Id, ForeignKey("domains.id", ondelete="CASCADE"), nullable=False),
    Column("name", Name, nullable=False),
    Column("description", LongText, nullable=False),
    Column("email", Name, nullable=False),
    # Not a foreign key: a project may go, and the user then has none.
    Column("default_project_id", Id, nullable=False),
    Column("enabled", Boolean, nullable=False),
    # Argon2; empty for a user who can't log in by password. Leaves the conductor for identity alone.
    Column("password_hash", Name, nullable=False),
    Column("failed_attempts", Integer, nullable=False),
    Column("last_failed_at", Time),
    Column("request_id", Name, unique=True),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

roles = table(
    "roles",
    Column("id", Id, primary_key=True),
    generation(),
    Column("name", Name, nullable=False, unique=True),
    Column("description", LongText, nullable=False),
    Column("request_id", Name, unique=True),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

role_implications = table(
    "role_implications",
    Column("prior_role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), nullable=False),
    Column("implied_role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), nullable=False),
    PrimaryKeyConstraint("prior_role_id", "implied_role_id"),
    Index(None, "implied_role_id"),
)

role_assignments = table(
    "role_assignments",
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    # One of the two.
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE")),
    Column("domain_id", Id, ForeignKey("domains.id", ondelete="CASCADE")),
    # The one that is set, `project:` or `domain:` before it: NULLs would make the constraint say nothing.
    Column("target", Name, nullable=False),
    UniqueConstraint("user_id", "target", "role_id"),
    Index(None, "role_id"),
    Index(None, "project_id"),
    Index(None, "domain_id"),
)

application_credentials = table(
    "application_credentials",
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", Name, nullable=False),
    Column("description", LongText, nullable=False),
    Column("secret_hash", Name, nullable=False),
    Column("role_ids", Json, nullable=False),
    Column("unrestricted", Boolean, nullable=False),
    Column("expires_at", Time),
    Column("request_id", Name, unique=True),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("user_id", "name"),
    Index(None, "project_id"),
)

# A revision is given out under the counter's row lock, so revisions become visible in their order and a
# watcher that has seen one has seen all before it.
revocation_counter = table(
    "revocation_counter",
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)

revocations = table(
    "revocations",
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("audit_id", Name, nullable=False),
    Column("audit_chain_id", Name, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("project_id", Id, nullable=False),
    Column("domain_id", Id, nullable=False),
    Column("role_id", Id, nullable=False),
    Column("application_credential_id", Id, nullable=False),
    Column("issued_before", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Index(None, "expires_at"),
)

signing_keys = table(
    "signing_keys",
    Column("id", Name, primary_key=True),
    Column("public_key", Bytes, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
)
