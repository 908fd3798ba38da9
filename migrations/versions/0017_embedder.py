"""Drop the fingerprint of the embedder: spaces are compared by their columns instead."""

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
    # A different value per space: older versions embed again rather than reuse the vectors of another model.
    op.execute("UPDATE rag.embedding_spaces SET embedder = fingerprint")
    op.alter_column("embedding_spaces", "embedder", nullable=False, schema="rag")
