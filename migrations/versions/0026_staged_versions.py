"""Add staged versions: texts and chunks that replace those in searches once all of them have vectors."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "staged_documents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("file_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=True),
        sa.Column("source_version", sa.Text(), nullable=True),
        sa.Column("reader", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("parse_report", postgresql.JSONB(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["id"], ["rag.documents.id"], name=op.f("fk_staged_documents_id_documents"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staged_documents")),
        schema="rag",
    )
    op.create_table(
        "staged_chunkings",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("chunking", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("unknown_share", sa.REAL(), nullable=True),
        sa.Column("language", postgresql.REGCONFIG(), server_default=sa.text("'english'::regconfig"), nullable=False),
        sa.Column("chunk_tokens", sa.Integer(), nullable=True),
        sa.Column("overlap_tokens", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["rag.documents.id"],
            name=op.f("fk_staged_chunkings_document_id_documents"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("document_id", "chunking", name=op.f("pk_staged_chunkings")),
        schema="rag",
    )
    op.create_table(
        "staged_chunks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("chunking", sa.Text(), nullable=False),
        sa.Column("chunk_index", sa.Integer(), nullable=False),
        sa.Column("header", sa.Text(), nullable=True),
        sa.Column("chunk_text", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("char_start", sa.Integer(), nullable=False),
        sa.Column("char_end", sa.Integer(), nullable=False),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("heading_path", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id", "chunking"],
            ["rag.staged_chunkings.document_id", "rag.staged_chunkings.chunking"],
            name=op.f("fk_staged_chunks_document_id_chunking_staged_chunkings"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staged_chunks")),
        schema="rag",
    )
    op.create_index("ix_staged_chunks_document_id_chunking", "staged_chunks", ["document_id", "chunking"], schema="rag")
    op.create_index("ix_staged_chunks_content_hash", "staged_chunks", ["content_hash", "chunking"], schema="rag")


def downgrade() -> None:
    # What is staged is lost; searches keep the versions that they show, and a run of the older version reads the
    # changed documents again.
    op.drop_table("staged_chunks", schema="rag")
    op.drop_table("staged_chunkings", schema="rag")
    op.drop_table("staged_documents", schema="rag")
