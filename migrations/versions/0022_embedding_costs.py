"""What embedding has cost: billed tokens and money of each batch, written with its vectors."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "embedding_costs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.Column("paused", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embedding_costs")),
        schema="rag",
    )
    op.create_index(op.f("ix_embedding_costs_created_at"), "embedding_costs", ["created_at"], schema="rag")
    op.create_index(op.f("ix_embedding_costs_run_id"), "embedding_costs", ["run_id"], schema="rag")


def downgrade() -> None:
    op.drop_table("embedding_costs", schema="rag")
