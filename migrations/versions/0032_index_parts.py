"""Add the number of parts that the index of a space is divided into."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

LOCKS = {"embedding_spaces": "has one row per space: the CHECK takes no time"}


# Older versions know only partitions that are tables of their own: the vectors move into one.
_MERGE_PARTS = """
DO $$
DECLARE space int;
BEGIN
    FOR space IN SELECT id FROM rag.embedding_spaces
        WHERE parts > 1 AND to_regclass(format('rag.embeddings_%s', id)) IS NOT NULL
    LOOP
        EXECUTE format('ALTER TABLE rag.embeddings DETACH PARTITION rag.embeddings_%s', space);
        EXECUTE format('ALTER TABLE rag.embeddings_%1$s RENAME TO embeddings_%1$s_parts', space);
        EXECUTE format('CREATE TABLE rag.embeddings_%1$s PARTITION OF rag.embeddings FOR VALUES IN (%1$s)', space);
        EXECUTE format('INSERT INTO rag.embeddings_%1$s SELECT * FROM rag.embeddings_%1$s_parts', space);
        PERFORM rag.record_changes_of(format('rag.embeddings_%s', space)::regclass, 'record_vector_changes');
        IF pg_get_viewdef(to_regclass('rag.live_chunks')) LIKE format('%%embeddings_%s_parts%%', space) THEN
            EXECUTE 'CREATE OR REPLACE VIEW rag.live_chunks AS ' || replace(
                pg_get_viewdef(to_regclass('rag.live_chunks')),
                format('embeddings_%s_parts', space),
                format('embeddings_%s', space));
        END IF;
        EXECUTE format('DROP TABLE rag.embeddings_%s_parts', space);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.add_column(
        "embedding_spaces", sa.Column("parts", sa.Integer(), server_default=sa.text("1"), nullable=False), schema="rag"
    )
    op.create_check_constraint(
        op.f("ck_embedding_spaces_parts_in_range"), "embedding_spaces", "parts BETWEEN 1 AND 64", schema="rag"
    )


def downgrade() -> None:
    op.get_bind().exec_driver_sql(_MERGE_PARTS.replace("%", "%%"))
    op.drop_constraint(op.f("ck_embedding_spaces_parts_in_range"), "embedding_spaces", schema="rag", type_="check")
    op.drop_column("embedding_spaces", "parts", schema="rag")
