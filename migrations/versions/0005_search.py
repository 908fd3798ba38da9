"""Add indexes for filters, the run that wrote a row, and the measurements of tuning."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LOCKS = {"documents": "builds four indexes of small columns, while nothing ingests; searches continue"}

FILTERED = ("file_type", "created_at", "updated_at")


def upgrade() -> None:
    op.add_column("documents", sa.Column("run_id", sa.Text()), schema="rag")
    op.add_column("document_chunkings", sa.Column("run_id", sa.Text()), schema="rag")
    op.add_column("embedding_spaces", sa.Column("tuning", JSONB()), schema="rag")
    for column in FILTERED:
        op.create_index(f"ix_documents_{column}", "documents", [column], schema="rag")
    op.create_index(
        "ix_documents_metadata",
        "documents",
        ["metadata"],
        schema="rag",
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
    )


def downgrade() -> None:
    op.drop_index("ix_documents_metadata", table_name="documents", schema="rag")
    for column in reversed(FILTERED):
        op.drop_index(f"ix_documents_{column}", table_name="documents", schema="rag")
    op.drop_column("embedding_spaces", "tuning", schema="rag")
    op.drop_column("document_chunkings", "run_id", schema="rag")
    op.drop_column("documents", "run_id", schema="rag")
