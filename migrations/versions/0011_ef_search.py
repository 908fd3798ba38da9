"""Raise the default ef_search to 120: measured on clustered vectors, 80 candidates miss whole clusters."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("embedding_spaces", "ef_search", server_default=sa.text("120"), schema="rag")
    op.execute("UPDATE rag.embedding_spaces SET ef_search = 120 WHERE ef_search = 80 AND tuning IS NULL")


def downgrade() -> None:
    op.execute("UPDATE rag.embedding_spaces SET ef_search = 80 WHERE ef_search = 120 AND tuning IS NULL")
    op.alter_column("embedding_spaces", "ef_search", server_default=sa.text("80"), schema="rag")
