"""What sites that share a store need of the database that they share: who changes a mode, and whose job is at work."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "mode_states",
        sa.Column("mode", sa.String(64), primary_key=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
    )
    op.create_table(
        "site_jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("mode", sa.String(64), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        sa.Column("is_unwanted", sa.Boolean(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
    )
    op.create_index("ix_site_jobs_mode", "site_jobs", ["mode"])
