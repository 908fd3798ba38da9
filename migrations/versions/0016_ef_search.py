"""Raise the default ef_search to 200: in 100,000 clustered vectors, 120 candidates reach a recall below 0.97."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("embedding_spaces", "ef_search", server_default=sa.text("200"), schema="rag")
    op.execute("UPDATE rag.embedding_spaces SET ef_search = 200 WHERE ef_search = 120 AND tuning IS NULL")


def downgrade() -> None:
    op.execute("UPDATE rag.embedding_spaces SET ef_search = 120 WHERE ef_search = 200 AND tuning IS NULL")
    op.alter_column("embedding_spaces", "ef_search", server_default=sa.text("120"), schema="rag")
