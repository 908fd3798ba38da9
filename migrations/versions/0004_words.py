"""Add keyword search: an index over the words of chunks, and counts of each word."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LOCKS = {"document_chunks": "builds one GIN index, while nothing ingests; searches continue"}


def upgrade() -> None:
    op.create_index("ix_document_chunks_tsv", "document_chunks", ["tsv"], schema="rag", postgresql_using="gin")
    op.create_table(
        "lexemes",
        sa.Column("chunking", sa.Text(), nullable=False),
        sa.Column("lexeme", sa.Text(), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("chunking", "lexeme", name=op.f("pk_lexemes")),
        schema="rag",
    )
    op.create_table(
        "word_statistics",
        sa.Column("chunking", sa.Text(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("mean_tokens", sa.Float(), nullable=False),
        sa.Column("counted", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chunking", name=op.f("pk_word_statistics")),
        schema="rag",
    )


def downgrade() -> None:
    op.drop_table("word_statistics", schema="rag")
    op.drop_table("lexemes", schema="rag")
    op.drop_index("ix_document_chunks_tsv", table_name="document_chunks", schema="rag")
