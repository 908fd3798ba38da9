"""Record what was written since checks last passed: triggers write it down, and checks note how far they have read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# Statement triggers, so that a batch costs one INSERT. They belong to the owner, so that a role which may write
# documents need not be allowed to write here. They run for statements by hand too, but not where triggers are disabled.
_DOCUMENTS = """
CREATE FUNCTION rag.record_document_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO rag.row_changes (document_id) SELECT id FROM new_rows;
    END IF;
    RETURN NULL;
END $$
"""
# The hash of a chunk that is gone: its vector may belong to no text any more.
_CHUNKS = """
CREATE FUNCTION rag.record_chunk_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO rag.row_changes (document_id) SELECT DISTINCT document_id FROM new_rows;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO rag.row_changes (document_id, content_hash) SELECT DISTINCT document_id, content_hash FROM old_rows;
    END IF;
    RETURN NULL;
END $$
"""
_CHUNKINGS = """
CREATE FUNCTION rag.record_chunking_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO rag.row_changes (document_id) SELECT DISTINCT document_id FROM new_rows;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO rag.row_changes (document_id) SELECT DISTINCT document_id FROM old_rows;
    END IF;
    RETURN NULL;
END $$
"""
_VECTORS = """
CREATE FUNCTION rag.record_vector_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO rag.row_changes (space_id, content_hash) SELECT space_id, content_hash FROM new_rows;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO rag.row_changes (space_id, content_hash) SELECT space_id, content_hash FROM old_rows;
    END IF;
    RETURN NULL;
END $$
"""
# TRUNCATE names no rows: every check reads all of them again.
_TRUNCATED = """
CREATE FUNCTION rag.forget_check_progress() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM rag.check_watermarks;
    RETURN NULL;
END $$
"""
_CREATE_TRIGGERS = """
CREATE FUNCTION rag.record_changes_of(watched regclass, recorder text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER record_inserts AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows '
        'FOR EACH STATEMENT EXECUTE FUNCTION rag.%I()', watched, recorder);
    EXECUTE format('CREATE OR REPLACE TRIGGER record_updates AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows '
        'NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION rag.%I()', watched, recorder);
    EXECUTE format('CREATE OR REPLACE TRIGGER record_deletes AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows '
        'FOR EACH STATEMENT EXECUTE FUNCTION rag.%I()', watched, recorder);
    EXECUTE format('CREATE OR REPLACE TRIGGER record_truncate AFTER TRUNCATE ON %s '
        'FOR EACH STATEMENT EXECUTE FUNCTION rag.forget_check_progress()', watched);
END $$
"""
_WATCHED = {
    "documents": "record_document_changes",
    "document_chunks": "record_chunk_changes",
    "document_chunkings": "record_chunking_changes",
    # For a statement that names the partitioned table, its own triggers run, and not those of the partitions.
    "embeddings": "record_vector_changes",
}


def upgrade() -> None:
    op.create_table(
        "row_changes",
        sa.Column("xid", sa.BigInteger(), server_default=sa.text("pg_current_xact_id()::text::bigint"), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=True),
        sa.Column("space_id", sa.Integer(), nullable=True),
        sa.Column("content_hash", sa.LargeBinary(), nullable=True),
        schema="rag",
    )
    # Without a key, so that the rows of a dump can be added to those that triggers write while it is restored. A server
    # that publishes all tables refuses to delete rows that it cannot identify.
    op.execute("ALTER TABLE rag.row_changes REPLICA IDENTITY FULL")
    op.create_table(
        "check_watermarks",
        sa.Column("check_name", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("figures", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("seen::pg_snapshot IS NOT NULL", name=op.f("ck_check_watermarks_seen_is_snapshot")),
        sa.CheckConstraint("position BETWEEN 0 AND 4294967295", name=op.f("ck_check_watermarks_position_in_range")),
        sa.PrimaryKeyConstraint("check_name", "scope", "project_id", name=op.f("pk_check_watermarks")),
        schema="rag",
    )
    connection = op.get_bind()
    for function in (_DOCUMENTS, _CHUNKS, _CHUNKINGS, _VECTORS, _TRUNCATED, _CREATE_TRIGGERS):
        # Not through SQLAlchemy's text(), which would read `::` and `%` in its own way.
        connection.exec_driver_sql(function.replace("%", "%%"))
    for table, recorder in _WATCHED.items():
        op.execute(f"SELECT rag.record_changes_of('rag.{table}', '{recorder}')")
    op.execute(
        "SELECT rag.record_changes_of(inhrelid::regclass, 'record_vector_changes') FROM pg_inherits "
        "WHERE inhparent = 'rag.embeddings'::regclass"
    )


def downgrade() -> None:
    # With their triggers.
    for function in dict.fromkeys((*_WATCHED.values(), "forget_check_progress")):
        op.execute(f"DROP FUNCTION rag.{function}() CASCADE")
    op.execute("DROP FUNCTION rag.record_changes_of(regclass, text)")
    op.drop_table("check_watermarks", schema="rag")
    op.drop_table("row_changes", schema="rag")
