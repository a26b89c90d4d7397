"""Predictions counted, pictures kept, corrections."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    _make_counts()
    _make_pictures()
    _make_corrections()


def _make_counts() -> None:
    op.create_table(
        "counts",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("mode", sa.String(64), primary_key=True),
        sa.Column("version", sa.String(64), primary_key=True),
        sa.Column("role", sa.String(16), primary_key=True),
        sa.Column("pictures", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.Column("agreed", sa.Integer(), nullable=False),
        sa.Column("infer_s", sa.Double(), nullable=False),
    )


def _make_pictures() -> None:
    op.create_table(
        "pictures",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("look", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("same_as", sa.String(64), sa.ForeignKey("pictures.sha256", ondelete="SET NULL")),
    )


def _make_corrections() -> None:
    op.create_table(
        "corrections",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mode", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("answer", sa.String(200), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("label", sa.String(200)),
        sa.Column("picture", sa.String(64), sa.ForeignKey("pictures.sha256", ondelete="SET NULL")),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("final_label", sa.String(200)),
        sa.Column("reviewed", sa.DateTime(timezone=True)),
        sa.Column("reviewer", sa.String(64)),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("used_by", sa.String(64)),
        sa.UniqueConstraint("request_id", "place"),
    )
    for column in ("created", "mode", "picture", "status"):
        op.create_index(f"ix_corrections_{column}", "corrections", [column])
