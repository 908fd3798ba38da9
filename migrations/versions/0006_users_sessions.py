"""Add users and their sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("display_name <> ''", name=op.f("ck_users_display_name_not_empty")),
        sa.CheckConstraint("position('@' in email) > 1", name=op.f("ck_users_email_is_address")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        schema="rag",
    )
    op.create_index("uq_users_lower_email", "users", [sa.literal_column("lower(email)")], unique=True, schema="rag")
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_agent", sa.String(length=500), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_sessions_token_hash_is_sha256")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["rag.users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_sessions_token_hash")),
        schema="rag",
    )
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], schema="rag")
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], schema="rag")


def downgrade() -> None:
    op.drop_table("sessions", schema="rag")
    op.drop_table("users", schema="rag")
