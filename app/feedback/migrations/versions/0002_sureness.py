"""Corrections say how sure the mode was."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column, empty for what was sent before."""
    op.add_column("corrections", sa.Column("sureness", sa.Double(), nullable=True))
