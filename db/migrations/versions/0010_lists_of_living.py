"""Lists of the instances that are there do not pass by all that were."""

from alembic import op

from db.migrate import DowngradeRefusedError

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OLD = ("project_id_created_at", "created_at", "host_deleted_at")


def upgrade() -> None:
    """Put indexes in place of those that know no deletes, or no order."""
    for first in (["project_id"], ["host"], []):
        columns = [*first, "deleted_at", "created_at"]
        op.create_index(op.f(f"ix_instances_{'_'.join(columns)}"), "instances", columns)
    for name in OLD:
        op.drop_index(op.f(f"ix_instances_{name}"), "instances")


def downgrade() -> None:
    """Schemas only go forward."""
    raise DowngradeRefusedError(revision)
