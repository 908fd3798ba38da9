"""Beside each vector, a number by which a check sees that it still is the vector of its text."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Vectors that are there have none: to write them anew would write them into their index anew, too.
    op.add_column("embeddings", sa.Column("checksum", sa.Double(), nullable=True), schema="rag")


def downgrade() -> None:
    op.drop_column("embeddings", "checksum", schema="rag")
