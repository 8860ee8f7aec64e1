"""The tables of the embedded image service's records."""

import sqlalchemy as sa
from alembic import op

from db.migrate import DowngradeRefusedError
from db.schema import base

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "images",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("disk_format", sa.String(length=32), nullable=False),
        sa.Column("container_format", sa.String(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("virtual_size", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.String(length=32), nullable=False),
        sa.Column("os_hash_algo", sa.String(length=64), nullable=False),
        sa.Column("os_hash_value", sa.String(length=128), nullable=False),
        sa.Column("min_disk_gb", sa.Integer(), nullable=False),
        sa.Column("min_ram_mb", sa.Integer(), nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("tags", base.Json(), nullable=False),
        sa.Column("properties", base.Json(), nullable=False),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("request_id", name=op.f("uq_images_request_id")),
        **base.MYSQL,
    )
    for columns in (["owner"], ["visibility"], ["name"], ["created_at", "id"]):
        op.create_index(op.f(f"ix_images_{'_'.join(columns)}"), "images", columns)
    op.create_table(
        "image_tags",
        sa.Column("image_id", sa.String(length=36), nullable=False),
        sa.Column("tag", sa.String(length=255), nullable=False),
        _of_image("image_tags"),
        sa.PrimaryKeyConstraint("image_id", "tag", name=op.f("pk_image_tags")),
        **base.MYSQL,
    )
    op.create_index(op.f("ix_image_tags_tag"), "image_tags", ["tag"])
    op.create_table(
        "image_properties",
        sa.Column("image_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("value", base.LongText, nullable=False),
        _of_image("image_properties"),
        sa.PrimaryKeyConstraint("image_id", "name", name=op.f("pk_image_properties")),
        **base.MYSQL,
    )
    op.create_index(op.f("ix_image_properties_name"), "image_properties", ["name"])
    op.create_table(
        "image_members",
        sa.Column("image_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", base.Time, nullable=False),
        sa.Column("updated_at", base.Time, nullable=False),
        _of_image("image_members"),
        sa.PrimaryKeyConstraint("image_id", "project_id", name=op.f("pk_image_members")),
        **base.MYSQL,
    )
    op.create_index(op.f("ix_image_members_project_id"), "image_members", ["project_id"])


def downgrade() -> None:
    """Refused."""
    raise DowngradeRefusedError(revision)


def _of_image(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_image_id")
    return sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=name, ondelete="CASCADE")
