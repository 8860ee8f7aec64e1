"""${message}"""

import sqlalchemy as sa
from alembic import op

from db.migrate import DowngradeRefusedError

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """${message}"""


def downgrade() -> None:
    """Refused: rows would be lost."""
    raise DowngradeRefusedError(revision)
