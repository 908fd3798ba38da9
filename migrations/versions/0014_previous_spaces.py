"""Keep the previous space for a rollback, and record the throughput of work to estimate later work."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

LOCKS = {"embedding_spaces": "has one row per space: the CHECK takes no time"}


def upgrade() -> None:
    _allow("'building', 'live', 'previous', 'retired'")
    for name in ("stepped_back_at", "rolled_back_at"):
        op.add_column("embedding_spaces", sa.Column(name, sa.DateTime(timezone=True), nullable=True), schema="rag")
    op.create_table(
        "work_rates",
        sa.Column("work", sa.Text(), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("work", name=op.f("pk_work_rates")),
        schema="rag",
    )


def downgrade() -> None:
    op.drop_table("work_rates", schema="rag")
    op.execute("UPDATE rag.embedding_spaces SET status = 'retired' WHERE status = 'previous'")
    op.drop_column("embedding_spaces", "rolled_back_at", schema="rag")
    op.drop_column("embedding_spaces", "stepped_back_at", schema="rag")
    _allow("'building', 'live', 'retired'")


def _allow(states: str) -> None:
    name = op.f("ck_embedding_spaces_status_known")
    op.drop_constraint(name, "embedding_spaces", schema="rag")
    op.create_check_constraint(name, "embedding_spaces", f"status IN ({states})", schema="rag")
