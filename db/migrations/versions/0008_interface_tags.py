"""Tags of network cards."""

import sqlalchemy as sa
from alembic import op

from db.migrate import DowngradeRefusedError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for them; the cards that are there have none."""
    op.add_column(
        "virtual_interfaces", sa.Column("tag", sa.String(length=255), nullable=False, server_default="")
    )


def downgrade() -> None:
    """Tags that users gave would be lost."""
    raise DowngradeRefusedError(revision)
