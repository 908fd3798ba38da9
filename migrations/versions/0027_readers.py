"""Add who may read a document, and why a declaration of it could not be used."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

LOCKS = {"documents": "builds three indexes of a column that is empty, and reads it for one CHECK; searches continue"}


def upgrade() -> None:
    op.add_column("documents", sa.Column("readers", postgresql.ARRAY(sa.Text()), nullable=True), schema="rag")
    op.add_column("documents", sa.Column("readers_error", sa.Text(), nullable=True), schema="rag")
    op.create_check_constraint(
        op.f("ck_documents_readers_error_is_nobody"),
        "documents",
        "readers_error IS NULL OR readers = '{}'",
        schema="rag",
    )
    op.create_index("ix_documents_readers", "documents", ["readers"], schema="rag", postgresql_using="gin")
    op.create_index(
        "ix_documents_restricted",
        "documents",
        ["project_id"],
        schema="rag",
        postgresql_where=sa.text("readers IS NOT NULL"),
    )
    op.create_index(
        "ix_documents_readers_error",
        "documents",
        ["project_id"],
        schema="rag",
        postgresql_where=sa.text("readers_error IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_documents_readers_error", "documents", schema="rag")
    op.drop_index("ix_documents_restricted", "documents", schema="rag")
    op.drop_index("ix_documents_readers", "documents", schema="rag")
    op.drop_constraint(op.f("ck_documents_readers_error_is_nobody"), "documents", schema="rag")
    op.drop_column("documents", "readers_error", schema="rag")
    op.drop_column("documents", "readers", schema="rag")
