"""Add the audit of what callers ask, partitioned by month."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("caller_id", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=True),
        sa.Column("mode", sa.Text(), nullable=True),
        sa.Column("projects", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("k", sa.Integer(), nullable=True),
        sa.Column("hits", sa.Integer(), nullable=True),
        sa.Column("documents", sa.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("duration_ms", sa.REAL(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("asked_at", "id", name=op.f("pk_audit_entries")),
        schema="rag",
        postgresql_partition_by="RANGE (asked_at)",
    )
    op.create_index("ix_audit_entries_documents", "audit_entries", ["documents"], schema="rag", postgresql_using="gin")


def downgrade() -> None:
    op.drop_table("audit_entries", schema="rag")
