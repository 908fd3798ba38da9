"""Add the header and page of chunks, and the report of reading of documents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Existing chunks have neither: the next run splits their documents again, under another version of the splitter.
    op.add_column("document_chunks", sa.Column("header", sa.Text(), nullable=True), schema="rag")
    op.add_column("document_chunks", sa.Column("page", sa.Integer(), nullable=True), schema="rag")
    op.add_column("documents", sa.Column("parse_report", JSONB(), nullable=True), schema="rag")


def downgrade() -> None:
    # The view of a newer version refers to the columns; the next promotion creates it again.
    op.execute("DROP VIEW IF EXISTS rag.live_chunks")
    op.drop_column("documents", "parse_report", schema="rag")
    op.drop_column("document_chunks", "page", schema="rag")
    op.drop_column("document_chunks", "header", schema="rag")
