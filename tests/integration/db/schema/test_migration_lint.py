"""Every migration that locks a big table declares it in LOCKS."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.schema import migrations as schema
from tests.support.database.migration_lint import find_undeclared_locks, list_revisions, locked_tables


def test_each_migration_declares_the_tables_that_it_locks(empty_database: URL) -> None:
    engine = make_engine(empty_database)
    shipped = list_revisions(schema.migrations_dir())
    assert len(shipped) >= 10
    found = {
        revision.revision: find_undeclared_locks(engine, schema.migrations_dir(), revision) for revision in shipped
    }
    engine.dispose()
    assert {revision: tables for revision, tables in found.items() if tables} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX ix ON rag.documents (title)",
        "CREATE UNIQUE INDEX ix ON rag.documents (title)",
        'CREATE INDEX IF NOT EXISTS ix ON ONLY "rag"."documents" USING gin (metadata)',
        "ALTER TABLE rag.documents ALTER COLUMN title TYPE VARCHAR(9)",
        "ALTER TABLE rag.documents ALTER COLUMN title SET DATA TYPE text USING title::text",
        "ALTER TABLE rag.documents ALTER COLUMN title SET NOT NULL",
        "ALTER TABLE rag.documents ADD COLUMN size INTEGER NOT NULL",
        "ALTER TABLE rag.documents ADD COLUMN size UUID DEFAULT gen_random_uuid()",
        "ALTER TABLE rag.documents ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector(title)) STORED",
        "ALTER TABLE rag.documents ADD CONSTRAINT c CHECK (size > 0)",
        "ALTER TABLE rag.documents ADD CONSTRAINT c FOREIGN KEY(a) REFERENCES rag.projects (id)",
        "ALTER TABLE rag.documents ADD CONSTRAINT c UNIQUE (title)",
        "alter table documents add constraint c primary key (title)",
        "ALTER TABLE IF EXISTS rag.documents SET UNLOGGED",
        "VACUUM FULL rag.documents",
        "LOCK TABLE rag.documents",
        "ALTER TABLE rag.documents DROP COLUMN a, ADD COLUMN b NUMERIC(9, 2) NOT NULL",
        "CREATE TABLE rag.other (id INTEGER);\nCREATE INDEX ix ON rag.documents (title)",
    ],
)
def test_a_statement_that_locks_a_big_table_is_reported(statement: str) -> None:
    assert locked_tables(statement.split(";")) == {"documents"}


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE rag.projects, rag.documents;CREATE INDEX ix ON rag.documents (title)",
        "CREATE INDEX CONCURRENTLY ix ON rag.documents (title)",
        "CREATE TABLE rag.documents (id INTEGER);\nCREATE INDEX ix ON rag.documents (id)",
        "CREATE TABLE rag.documents (id INTEGER);\nALTER TABLE rag.documents ALTER COLUMN id SET NOT NULL",
        "ALTER TABLE rag.documents ADD COLUMN size INTEGER",
        "ALTER TABLE rag.documents ADD COLUMN size INTEGER DEFAULT 0 NOT NULL",
        "ALTER TABLE rag.documents ADD CONSTRAINT c CHECK (size > 0) NOT VALID",
        "ALTER TABLE rag.documents ADD CONSTRAINT c FOREIGN KEY(a) REFERENCES rag.projects (id) NOT VALID",
        "ALTER TABLE rag.documents ADD CONSTRAINT c UNIQUE USING INDEX ix",
        "ALTER TABLE rag.documents VALIDATE CONSTRAINT c",
        "ALTER TABLE rag.documents ALTER COLUMN title DROP NOT NULL",
        "ALTER TABLE rag.documents DROP COLUMN title",
        "ALTER TABLE rag.documents RENAME COLUMN title TO name",
        "DROP TABLE rag.documents",
        "ALTER TABLE rag.documents ADD COLUMN a INTEGER, ALTER COLUMN b DROP NOT NULL",
        "UPDATE rag.alembic_version SET version_num='0002'",
    ],
)
def test_a_statement_that_takes_no_time_is_not_reported(statement: str) -> None:
    assert locked_tables(statement.split(";")) == set()


MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = {head!r}
branch_labels = None
depends_on = None
{locks}

def upgrade():
    for column in ("title", "reader"):
        op.create_index(f"ix_documents_{{column}}", "documents", [column], schema="rag")


def downgrade():
    op.drop_index("ix_documents_title", table_name="documents", schema="rag")
"""


@pytest.mark.parametrize(
    ("locks", "found"),
    [
        ("", {"documents"}),
        ("LOCKS = {'documents': ''}", {"documents"}),
        ("LOCKS = {'documents': 'two B-trees, while nothing ingests'}", set()),
        ("LOCKS = {'documents': 'two B-trees', 'projects': 'out of date'}", {"projects"}),
    ],
)
def test_a_migration_must_give_a_reason_for_each_locked_table(
    engine: Engine, tmp_path: Path, locks: str, found: set[str]
) -> None:
    migrations = tmp_path / "migrations"
    shutil.copytree(schema.migrations_dir(), migrations)
    written = MIGRATION.format(head=schema.head_revision(), locks=locks)
    (migrations / "versions" / "9001_more.py").write_text(written)
    newest = list_revisions(migrations)[-1]
    assert newest.revision == "9001"
    assert find_undeclared_locks(engine, migrations, newest) == found
