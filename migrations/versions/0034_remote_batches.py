"""Add batches of texts at the batch interface of an embedding server."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "remote_batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), server_default="submitting", nullable=False),
        sa.Column("owner", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=True),
        sa.Column("remote_id", sa.Text(), nullable=True),
        sa.Column("texts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('submitting', 'submitted', 'fetched', 'failed', 'expired')",
            name=op.f("ck_remote_batches_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["space_id"],
            ["rag.embedding_spaces.id"],
            name=op.f("fk_remote_batches_space_id_embedding_spaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remote_batches")),
        schema="rag",
    )
    op.create_index(op.f("ix_remote_batches_space_id"), "remote_batches", ["space_id"], schema="rag")
    op.create_table(
        "remote_batch_texts",
        sa.Column("space_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["rag.remote_batches.id"],
            name=op.f("fk_remote_batch_texts_batch_id_remote_batches"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("space_id", "content_hash", name=op.f("pk_remote_batch_texts")),
        schema="rag",
    )
    op.create_index(op.f("ix_remote_batch_texts_batch_id"), "remote_batch_texts", ["batch_id"], schema="rag")


def downgrade() -> None:
    op.drop_table("remote_batch_texts", schema="rag")
    op.drop_table("remote_batches", schema="rag")
