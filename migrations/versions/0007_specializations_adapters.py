"""Add specializations and their adapters."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "specializations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("system_prompt", sa.Text(), nullable=True),
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_specializations_name_not_empty")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_specializations")),
        sa.UniqueConstraint("name", name=op.f("uq_specializations_name")),
        schema="rag",
    )
    op.create_table(
        "adapters",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("specialization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("base_model", sa.String(length=200), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("alpha", sa.Double(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="draft", nullable=False),
        sa.Column(
            "metrics", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_adapters_name_not_empty")),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_adapters_sha256_is_hex")),
        sa.CheckConstraint("status = 'draft' OR sha256 IS NOT NULL", name=op.f("ck_adapters_served_has_sha256")),
        sa.CheckConstraint("status IN ('draft', 'ready', 'retired')", name=op.f("ck_adapters_status_known")),
        sa.CheckConstraint("alpha > 0", name=op.f("ck_adapters_alpha_positive")),
        sa.CheckConstraint("rank >= 1", name=op.f("ck_adapters_rank_positive")),
        sa.ForeignKeyConstraint(
            ["specialization_id"],
            ["rag.specializations.id"],
            name=op.f("fk_adapters_specialization_id_specializations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adapters")),
        sa.UniqueConstraint("specialization_id", "name", name=op.f("uq_adapters_specialization_id_name")),
        schema="rag",
    )
    op.create_index(
        "uq_adapters_ready",
        "adapters",
        ["specialization_id", "base_model"],
        unique=True,
        schema="rag",
        postgresql_where=sa.text("status = 'ready'"),
    )


def downgrade() -> None:
    op.drop_table("adapters", schema="rag")
    op.drop_table("specializations", schema="rag")
