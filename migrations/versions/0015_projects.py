"""Add declared and removed projects, the failures of one project in a run of several, and chunk sizes per project."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("declared_in", sa.Text(), nullable=True), schema="rag")
    op.add_column("projects", sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True), schema="rag")
    op.add_column("projects", sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=True), schema="rag")
    op.add_column("document_chunkings", sa.Column("chunk_tokens", sa.Integer(), nullable=True), schema="rag")
    op.add_column("document_chunkings", sa.Column("overlap_tokens", sa.Integer(), nullable=True), schema="rag")
    op.create_table(
        "project_failures",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["rag.projects.id"],
            name=op.f("fk_project_failures_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "stage", name=op.f("pk_project_failures")),
        schema="rag",
    )


def downgrade() -> None:
    op.drop_table("project_failures", schema="rag")
    op.drop_column("document_chunkings", "overlap_tokens", schema="rag")
    op.drop_column("document_chunkings", "chunk_tokens", schema="rag")
    op.drop_column("projects", "refreshed_at", schema="rag")
    op.drop_column("projects", "removed_at", schema="rag")
    op.drop_column("projects", "declared_in", schema="rag")
