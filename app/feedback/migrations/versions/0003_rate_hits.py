"""How often each client has asked, where several workers or machines count together."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "rate_hits",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("moment", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
    )
    op.create_index("ix_rate_hits_key_moment", "rate_hits", ["key", "moment"])
    op.create_index("ix_rate_hits_expires", "rate_hits", ["expires"])
