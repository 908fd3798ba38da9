"""Add how much of a document the model's tokenizer does not know."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # NULL until the document is split again.
    op.add_column("document_chunkings", sa.Column("unknown_share", sa.REAL(), nullable=True), schema="rag")


def downgrade() -> None:
    op.drop_column("document_chunkings", "unknown_share", schema="rag")
