"""What instances used, by period, what the usage audit did, and limits by quota class.

For instances that are there already the time since their launch becomes one period with the flavor that
they have now: nothing else is known of them.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from db.migrate import DowngradeRefusedError
from db.schema import base
from novamesh.types.v1.instance_pb2 import Instance

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Instances read at once: their bodies may hold 64 KiB of user data each.
PAGE = 500

_instances = sa.table(
    "instances",
    sa.column("number"),
    sa.column("body"),
    sa.column("launched_at", base.Time),
    sa.column("terminated_at", base.Time),
)


def upgrade() -> None:
    """Make them."""
    periods = op.create_table(
        "usage_periods",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("flavor_name", sa.String(length=255), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.BigInteger(), nullable=False),
        sa.Column("local_gb", sa.BigInteger(), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["instances.id"],
            name=op.f("fk_usage_periods_instance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_usage_periods")),
        **base.MYSQL,
    )
    for columns in (["instance_id", "ended"], ["project_id", "ended"], ["ended"]):
        op.create_index(op.f(f"ix_usage_periods_{'_'.join(columns)}"), "usage_periods", columns)
    op.create_table(
        "usage_audits",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("period_beginning", base.Time, nullable=False),
        sa.Column("period_ending", base.Time, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("message", base.LongText, nullable=False),
        sa.Column("started_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_usage_audits")),
        sa.UniqueConstraint(
            "host",
            "period_beginning",
            "period_ending",
            name=op.f("uq_usage_audits_host_period_beginning_period_ending"),
        ),
        **base.MYSQL,
    )
    op.create_index(
        op.f("ix_usage_audits_period_beginning_period_ending"),
        "usage_audits",
        ["period_beginning", "period_ending"],
    )
    op.create_table(
        "quota_classes",
        sa.Column("class_name", sa.String(length=255), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("hard_limit", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("class_name", "resource", name=op.f("pk_quota_classes")),
        **base.MYSQL,
    )
    _fill(periods)


def _fill(periods: sa.Table) -> None:
    connection, last = op.get_bind(), 0
    page = (
        sa.select(_instances)
        .where(_instances.c.number > sa.bindparam("last"), _instances.c.launched_at.is_not(None))
        .order_by(_instances.c.number)
        .limit(PAGE)
    )
    while found := connection.execute(page, {"last": last}).all():
        last = found[-1].number
        connection.execute(sa.insert(periods), [_period(row) for row in found])


def _period(row: sa.Row[Any]) -> dict[str, object]:
    instance = Instance.FromString(row.body)
    flavor = instance.flavor
    return {
        "instance_id": instance.id,
        "project_id": instance.project_id,
        "flavor_name": flavor.name,
        "vcpus": flavor.vcpus,
        "memory_mb": flavor.memory_mb,
        "local_gb": flavor.root_gb + flavor.ephemeral_gb,
        "began": base.microseconds(row.launched_at),
        "ended": None if row.terminated_at is None else base.microseconds(row.terminated_at),
    }


def downgrade() -> None:
    """Refused."""
    raise DowngradeRefusedError(revision)
