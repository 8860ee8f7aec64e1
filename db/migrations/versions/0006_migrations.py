"""Moves of instances between hosts and sizes."""

import sqlalchemy as sa
from alembic import op

from db.migrate import DowngradeRefusedError
from db.schema import base

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEXES = (
    ["instance_id", "status"],
    ["created_at", "number"],
    ["status", "updated_at"],
    ["updated_at"],
    ["source_compute"],
    ["dest_compute"],
)


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "migrations",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("body", base.Bytes, nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("source_compute", sa.String(length=255), nullable=False),
        sa.Column("dest_compute", sa.String(length=255), nullable=False),
        sa.Column("held_host", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_migrations_instance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_migrations")),
        sa.UniqueConstraint("id", name=op.f("uq_migrations_id")),
        **base.MYSQL,
    )
    for columns in _INDEXES:
        op.create_index(op.f(f"ix_migrations_{'_'.join(columns)}"), "migrations", columns)


def downgrade() -> None:
    """Refused."""
    raise DowngradeRefusedError(revision)
