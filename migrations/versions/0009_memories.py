"""Add memories of users, projects and specializations."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memories",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("specialization_id", sa.Uuid(), nullable=True),
        sa.Column("importance", sa.Double(), server_default=sa.text("0.5"), nullable=False),
        sa.Column("source_message_id", sa.Uuid(), nullable=True),
        sa.Column("last_recalled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recall_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "content_hash = sha256(convert_to(content, 'UTF8'))", name=op.f("ck_memories_content_hash_of_content")
        ),
        sa.CheckConstraint("importance BETWEEN 0 AND 1", name=op.f("ck_memories_importance_between_0_and_1")),
        sa.CheckConstraint("recall_count >= 0", name=op.f("ck_memories_recall_count_not_negative")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["rag.projects.id"], name=op.f("fk_memories_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_message_id"],
            ["rag.conversation_messages.id"],
            name=op.f("fk_memories_source_message_id_conversation_messages"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["specialization_id"],
            ["rag.specializations.id"],
            name=op.f("fk_memories_specialization_id_specializations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["rag.users.id"], name=op.f("fk_memories_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memories")),
        schema="rag",
    )
    op.create_index(op.f("ix_memories_content_hash"), "memories", ["content_hash"], schema="rag")
    op.create_index(op.f("ix_memories_expires_at"), "memories", ["expires_at"], schema="rag")
    op.create_index(op.f("ix_memories_project_id"), "memories", ["project_id"], schema="rag")
    op.create_index(op.f("ix_memories_source_message_id"), "memories", ["source_message_id"], schema="rag")
    op.create_index(op.f("ix_memories_specialization_id"), "memories", ["specialization_id"], schema="rag")
    op.create_index(op.f("ix_memories_user_id"), "memories", ["user_id"], schema="rag")
    op.create_index(
        "uq_memories_owner_content",
        "memories",
        ["user_id", "project_id", "specialization_id", "content_hash"],
        unique=True,
        schema="rag",
        postgresql_where=sa.text("deleted_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )


def downgrade() -> None:
    op.drop_table("memories", schema="rag")
