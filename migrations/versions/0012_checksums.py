"""Add a checksum to each vector, with which a check detects vectors that were changed."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Existing vectors get none: an UPDATE would insert them into their index again.
    op.add_column("embeddings", sa.Column("checksum", sa.Double(), nullable=True), schema="rag")


def downgrade() -> None:
    op.drop_column("embeddings", "checksum", schema="rag")
