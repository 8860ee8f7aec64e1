"""Server groups and their members."""

import sqlalchemy as sa
from alembic import op

from db.migrate import DowngradeRefusedError
from db.schema import base

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "server_groups",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("policy", sa.String(length=32), nullable=False),
        sa.Column("max_server_per_host", sa.Integer(), nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_server_groups")),
        sa.UniqueConstraint("id", name=op.f("uq_server_groups_id")),
        **base.MYSQL,
    )
    op.create_index(op.f("ix_server_groups_project_id_number"), "server_groups", ["project_id", "number"])
    op.create_table(
        "server_group_members",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["instances.id"],
            name=op.f("fk_server_group_members_instance_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["server_groups.id"],
            name=op.f("fk_server_group_members_group_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_server_group_members")),
        **base.MYSQL,
    )
    op.create_index(op.f("ix_server_group_members_group_id"), "server_group_members", ["group_id"])


def downgrade() -> None:
    """Refused."""
    raise DowngradeRefusedError(revision)
