"""Who has locked an instance, to filter and sort by."""

import sqlalchemy as sa
from alembic import op

from db.migrate import DowngradeRefusedError

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of locks that are there it is not known: bodies say it from the next write on."""
    op.add_column("instances", sa.Column("locked_by", sa.SmallInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    """It would be lost."""
    raise DowngradeRefusedError(revision)
