"""Drop the fingerprint of what makes a space's vectors: spaces are compared by the facts themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("embedding_spaces", "embedder", schema="rag")


def downgrade() -> None:
    op.add_column("embedding_spaces", sa.Column("embedder", sa.Text(), nullable=True), schema="rag")
    # Each space its own value: versions that compared these embed once more rather than take over another model's work.
    op.execute("UPDATE rag.embedding_spaces SET embedder = fingerprint")
    op.alter_column("embedding_spaces", "embedder", nullable=False, schema="rag")
