"""Host aggregates and the hosts in them. Zones that hosts named themselves become aggregates."""

import json
import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from db.migrate import DowngradeRefusedError
from db.schema import base

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The zone of hosts that named none, unless a conductor's option said otherwise.
DEFAULT_ZONE = "nova"

_hosts = sa.table(
    "hosts",
    sa.column("number"),
    sa.column("name"),
    sa.column("availability_zone"),
    sa.column("aggregate_metadata"),
)


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "aggregates",
        sa.Column("number", base.Number, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column("metadata", base.Json(), nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_aggregates")),
        sa.UniqueConstraint("id", name=op.f("uq_aggregates_id")),
        sa.UniqueConstraint("name", name=op.f("uq_aggregates_name")),
        **base.MYSQL,
    )
    op.create_table(
        "aggregate_hosts",
        sa.Column("aggregate", base.Number, nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["aggregate"], ["aggregates.number"], name=op.f("fk_aggregate_hosts_aggregate")
        ),
        sa.ForeignKeyConstraint(
            ["host"], ["hosts.name"], name=op.f("fk_aggregate_hosts_host"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("aggregate", "host", name=op.f("pk_aggregate_hosts")),
        **base.MYSQL,
    )
    op.create_index(op.f("ix_aggregate_hosts_host"), "aggregate_hosts", ["host"])
    op.create_index(op.f("ix_instances_task_state_host"), "instances", ["task_state", "host"])
    op.add_column("hosts", sa.Column("aggregate_metadata", base.Json(), nullable=True))
    op.drop_column("hosts", "zone_set")
    _adopt_zones()


def _adopt_zones() -> None:
    """An aggregate for each zone that a host is in by its own word, so that no host changes its zone."""
    connection = op.get_bind()
    query = sa.select(_hosts.c.name, _hosts.c.availability_zone).order_by(_hosts.c.number)
    zones: dict[str, list[str]] = {}
    for name, zone in connection.execute(query):
        if zone not in ("", DEFAULT_ZONE):
            zones.setdefault(zone, []).append(name)
    at = datetime.now(UTC).replace(tzinfo=None)
    aggregates = sa.table(
        "aggregates",
        *(
            sa.column(name)
            for name in ("number", "id", "generation", "name", "availability_zone", "metadata")
        ),
        sa.column("created_at", base.Time),
    )
    members = sa.table("aggregate_hosts", *(sa.column(name) for name in ("aggregate", "host", "position")))
    for number, (zone, names) in enumerate(zones.items(), 1):
        made = {"number": number, "id": str(uuid.uuid4()), "generation": 1, "name": zone}
        made |= {"availability_zone": zone, "metadata": "{}", "created_at": at}
        connection.execute(aggregates.insert(), made)
        rows = [{"aggregate": number, "host": name, "position": place} for place, name in enumerate(names, 1)]
        connection.execute(members.insert(), rows)
        metadata = json.dumps({"availability_zone": zone})
        connection.execute(
            _hosts.update().where(_hosts.c.name.in_(names)).values(aggregate_metadata=metadata)
        )
    if zones and connection.dialect.name == "postgresql":
        # Numbers were given here and not by the sequence.
        connection.execute(
            sa.text("SELECT setval(pg_get_serial_sequence('aggregates', 'number'), :last)"),
            {"last": len(zones)},
        )


def downgrade() -> None:
    """Refused."""
    raise DowngradeRefusedError(revision)
