"""Add conversations and their messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("message_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("latest_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("fork_version", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("name <> ''", name=op.f("ck_conversations_name_not_empty")),
        sa.CheckConstraint("(parent_id IS NULL) = (fork_version IS NULL)", name=op.f("ck_conversations_fork_has_both")),
        sa.CheckConstraint(
            "fork_version BETWEEN 1 AND latest_version", name=op.f("ck_conversations_fork_version_known")
        ),
        sa.CheckConstraint(
            "message_count BETWEEN 0 AND latest_version", name=op.f("ck_conversations_message_count_possible")
        ),
        sa.CheckConstraint("parent_id <> id", name=op.f("ck_conversations_parent_is_another")),
        sa.CheckConstraint("total_tokens >= 0", name=op.f("ck_conversations_total_tokens_not_negative")),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["rag.conversations.id"], name=op.f("fk_conversations_parent_id_conversations")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["rag.projects.id"], name=op.f("fk_conversations_project_id_projects"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["rag.users.id"], name=op.f("fk_conversations_user_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
        schema="rag",
    )
    op.create_index(op.f("ix_conversations_parent_id"), "conversations", ["parent_id"], schema="rag")
    op.create_index(op.f("ix_conversations_project_id"), "conversations", ["project_id"], schema="rag")
    op.create_index("ix_conversations_user_id", "conversations", ["user_id", "created_at", "id"], schema="rag")
    op.create_table(
        "conversation_messages",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("tool_call_id", sa.String(length=200), nullable=True),
        sa.Column("tool_name", sa.String(length=200), nullable=True),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=True),
        sa.Column(
            "metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "content_hash = sha256(convert_to(content, 'UTF8'))",
            name=op.f("ck_conversation_messages_content_hash_of_content"),
        ),
        sa.CheckConstraint(
            "role <> 'tool' OR tool_call_id IS NOT NULL", name=op.f("ck_conversation_messages_tool_has_call")
        ),
        sa.CheckConstraint(
            "role IN ('user', 'assistant', 'system', 'tool')", name=op.f("ck_conversation_messages_role_known")
        ),
        sa.CheckConstraint("token_count >= 0", name=op.f("ck_conversation_messages_token_count_not_negative")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_conversation_messages_version_counts_from_one")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["rag.conversations.id"],
            name=op.f("fk_conversation_messages_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation_messages")),
        sa.UniqueConstraint(
            "conversation_id", "version", name=op.f("uq_conversation_messages_conversation_id_version")
        ),
        schema="rag",
    )
    op.create_index(
        op.f("ix_conversation_messages_content_hash"), "conversation_messages", ["content_hash"], schema="rag"
    )
    op.create_index(
        "ix_conversation_messages_created_at",
        "conversation_messages",
        ["created_at", "content_hash"],
        schema="rag",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_conversation_messages_deleted_at",
        "conversation_messages",
        ["deleted_at"],
        schema="rag",
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("conversation_messages", schema="rag")
    op.drop_table("conversations", schema="rag")
