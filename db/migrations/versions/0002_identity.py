"""The tables of users, what they belong to, and how they prove who they are."""

import sqlalchemy as sa
from alembic import op

from db.migrate import DowngradeRefusedError
from db.schema import base

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "domains",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", base.LongText, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domains")),
        sa.UniqueConstraint("name", name=op.f("uq_domains_name")),
        sa.UniqueConstraint("request_id", name=op.f("uq_domains_request_id")),
        **base.MYSQL,
    )
    op.create_table(
        "revocation_counter",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revocation_counter")),
        **base.MYSQL,
    )
    op.create_table(
        "revocations",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.String(length=255), nullable=False),
        sa.Column("audit_chain_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("domain_id", sa.String(length=36), nullable=False),
        sa.Column("role_id", sa.String(length=36), nullable=False),
        sa.Column("application_credential_id", sa.String(length=36), nullable=False),
        sa.Column("issued_before", base.Time, nullable=False),
        sa.Column("expires_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_revocations")),
        **base.MYSQL,
    )
    op.create_index(op.f("ix_revocations_expires_at"), "revocations", ["expires_at"], unique=False)
    op.create_table(
        "roles",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", base.LongText, nullable=False),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("name", name=op.f("uq_roles_name")),
        sa.UniqueConstraint("request_id", name=op.f("uq_roles_request_id")),
        **base.MYSQL,
    )
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("public_key", base.Bytes, nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("expires_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
        **base.MYSQL,
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("domain_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", base.LongText, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("tags", base.Json(), nullable=False),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["domains.id"], name=op.f("fk_projects_domain_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("domain_id", "name", name=op.f("uq_projects_domain_id_name")),
        sa.UniqueConstraint("request_id", name=op.f("uq_projects_request_id")),
        **base.MYSQL,
    )
    op.create_table(
        "role_implications",
        sa.Column("prior_role_id", sa.String(length=36), nullable=False),
        sa.Column("implied_role_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["implied_role_id"],
            ["roles.id"],
            name=op.f("fk_role_implications_implied_role_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["prior_role_id"],
            ["roles.id"],
            name=op.f("fk_role_implications_prior_role_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prior_role_id", "implied_role_id", name=op.f("pk_role_implications")),
        **base.MYSQL,
    )
    op.create_index(
        op.f("ix_role_implications_implied_role_id"), "role_implications", ["implied_role_id"], unique=False
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("domain_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", base.LongText, nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("default_project_id", sa.String(length=36), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("failed_attempts", sa.Integer(), nullable=False),
        sa.Column("last_failed_at", base.Time, nullable=True),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["domains.id"], name=op.f("fk_users_domain_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("domain_id", "name", name=op.f("uq_users_domain_id_name")),
        sa.UniqueConstraint("request_id", name=op.f("uq_users_request_id")),
        **base.MYSQL,
    )
    op.create_table(
        "application_credentials",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", base.LongText, nullable=False),
        sa.Column("secret_hash", sa.String(length=255), nullable=False),
        sa.Column("role_ids", base.Json(), nullable=False),
        sa.Column("unrestricted", sa.Boolean(), nullable=False),
        sa.Column("expires_at", base.Time, nullable=True),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", base.Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("fk_application_credentials_project_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_application_credentials_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application_credentials")),
        sa.UniqueConstraint("request_id", name=op.f("uq_application_credentials_request_id")),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_application_credentials_user_id_name")),
        **base.MYSQL,
    )
    op.create_index(
        op.f("ix_application_credentials_project_id"), "application_credentials", ["project_id"], unique=False
    )
    op.create_table(
        "role_assignments",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("role_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=True),
        sa.Column("domain_id", sa.String(length=36), nullable=True),
        sa.Column("target", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["domains.id"], name=op.f("fk_role_assignments_domain_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_role_assignments_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name=op.f("fk_role_assignments_role_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_role_assignments_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_role_assignments")),
        sa.UniqueConstraint(
            "user_id", "target", "role_id", name=op.f("uq_role_assignments_user_id_target_role_id")
        ),
        **base.MYSQL,
    )
    op.create_index(op.f("ix_role_assignments_domain_id"), "role_assignments", ["domain_id"], unique=False)
    op.create_index(op.f("ix_role_assignments_project_id"), "role_assignments", ["project_id"], unique=False)
    op.create_index(op.f("ix_role_assignments_role_id"), "role_assignments", ["role_id"], unique=False)
    # ### end Alembic commands ###
    # The one row: revisions are given out under its lock.
    op.execute("INSERT INTO revocation_counter (id, revision) VALUES (1, 0)")


def downgrade() -> None:
    """Refused."""
    raise DowngradeRefusedError(revision)
