"""Add declared viewers: who a transaction reads for, signed, and the functions that policies ask."""

# ruff: noqa: S608
# Nothing but texts of this file is put together.

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# The two pads of an HMAC with SHA-256 (RFC 2104), from a random key of 32 bytes.
_NEW_KEY = """
DO $do$
DECLARE
    key bytea := sha256(convert_to(gen_random_uuid()::text || gen_random_uuid() || gen_random_uuid(), 'UTF8'))
        || decode(repeat('00', 32), 'hex');
    inner_pad bytea := key;
    outer_pad bytea := key;
BEGIN
    FOR place IN 0..63 LOOP
        inner_pad := set_byte(inner_pad, place, get_byte(key, place) # 54);
        outer_pad := set_byte(outer_pad, place, get_byte(key, place) # 92);
    END LOOP;
    INSERT INTO rag.viewer_key (id, inner_pad, outer_pad) VALUES (1, inner_pad, outer_pad);
END
$do$
"""

# In force for this transaction of this session, or for some seconds anywhere.
_SIGN = """
CREATE FUNCTION rag.sign_viewer(facts jsonb, lifetime_s double precision DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    key rag.viewer_key%ROWTYPE;
    message bytea;
BEGIN
    SELECT * INTO STRICT key FROM rag.viewer_key;
    message := convert_to(CASE
        WHEN lifetime_s IS NULL
            THEN 'T' || pg_backend_pid() || ' ' || extract(epoch FROM transaction_timestamp())
        ELSE 'E' || (extract(epoch FROM clock_timestamp()) + lifetime_s::numeric)
    END || '|' || facts::text, 'UTF8');
    RETURN encode(sha256(key.outer_pad || sha256(key.inner_pad || message)), 'hex')
        || '|' || convert_from(message, 'UTF8');
END
$body$
"""

_VIEWER = """
CREATE FUNCTION rag.viewer() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    given text := current_setting('rag.viewer', true);
    key rag.viewer_key%ROWTYPE;
    message text;
    head text;
BEGIN
    IF given IS NULL OR length(given) < 66 THEN
        RETURN NULL;
    END IF;
    message := substr(given, 66);
    SELECT * INTO key FROM rag.viewer_key;
    IF left(given, 64) IS DISTINCT FROM
        encode(sha256(key.outer_pad || sha256(key.inner_pad || convert_to(message, 'UTF8'))), 'hex')
    THEN
        RETURN NULL;
    END IF;
    head := split_part(message, '|', 1);
    IF head LIKE 'T%' THEN
        IF substr(head, 2) IS DISTINCT FROM
            pg_backend_pid() || ' ' || extract(epoch FROM transaction_timestamp())
        THEN
            RETURN NULL;
        END IF;
    ELSIF substr(head, 2)::numeric < extract(epoch FROM clock_timestamp()) THEN
        RETURN NULL;
    END IF;
    RETURN substr(message, length(head) + 2)::jsonb;
END
$body$
"""

_OPTIONS = "LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp"

# Arrays, so that a policy compares columns with a value that is computed once for each statement.
_READERS = f"""
CREATE FUNCTION rag.viewer_readers() RETURNS text[] {_OPTIONS} AS $body$
SELECT CASE WHEN v.facts IS NOT NULL
    THEN ARRAY(SELECT jsonb_array_elements_text(v.facts -> 'readers')) || 'everyone'::text END
FROM (SELECT rag.viewer() AS facts OFFSET 0) v
$body$
"""
_PROJECTS = f"""
CREATE FUNCTION rag.viewer_projects() RETURNS uuid[] {_OPTIONS} AS $body$
SELECT array_agg(p.id)
FROM (SELECT rag.viewer() AS facts OFFSET 0) v
JOIN rag.projects p ON jsonb_typeof(v.facts -> 'projects') = 'null' OR (v.facts -> 'projects') ? p.id::text
WHERE v.facts IS NOT NULL
$body$
"""
_OPEN_PROJECTS = f"""
CREATE FUNCTION rag.viewer_open_projects() RETURNS uuid[] {_OPTIONS} AS $body$
SELECT array_agg(p.id)
FROM (SELECT rag.viewer_projects() AS ids, rag.viewer_readers() AS readers OFFSET 0) v
JOIN rag.projects p ON p.id = ANY (v.ids)
WHERE coalesce(jsonb_typeof(p.settings -> 'readers'), 'null') = 'null' OR (p.settings -> 'readers') ?| v.readers
$body$
"""
_VISIBLE_PROJECTS = f"""
CREATE FUNCTION rag.viewer_visible_projects() RETURNS uuid[] {_OPTIONS} AS $body$
SELECT array_agg(p.id)
FROM (SELECT rag.viewer_projects() AS ids, rag.viewer_open_projects() AS open, rag.viewer_readers() AS readers
    OFFSET 0) v
JOIN rag.projects p ON p.id = ANY (v.ids)
WHERE p.id = ANY (v.open)
    OR EXISTS (SELECT FROM rag.documents d WHERE d.project_id = p.id AND d.readers && v.readers)
$body$
"""
_USER = f"""
CREATE FUNCTION rag.viewer_user() RETURNS uuid {_OPTIONS} AS $body$
SELECT u.id
FROM (SELECT rag.viewer() ->> 'user' AS name OFFSET 0) v
JOIN rag.users u ON lower(u.email) = lower(v.name) OR u.id::text = v.name
WHERE u.deleted_at IS NULL
LIMIT 1
$body$
"""

_MAY_READ = (
    "d.project_id = ANY ((SELECT rag.viewer_projects())::uuid[]) AND (d.readers && (SELECT rag.viewer_readers()) "
    "OR (d.readers IS NULL AND d.project_id = ANY ((SELECT rag.viewer_open_projects())::uuid[])))"
)
# The operator @@ is not leakproof, so that under a policy no index serves it.
_MATCHES = f"""
CREATE FUNCTION rag.readable_matches(of_chunking text, of_language regconfig, wanted tsquery, most bigint)
RETURNS TABLE (id uuid, document_id uuid, chunk_index integer, token_count integer, tsv tsvector) {_OPTIONS} AS $body$
SELECT c.id, c.document_id, c.chunk_index, c.token_count, c.tsv
FROM rag.document_chunks c
JOIN rag.documents d ON d.id = c.document_id
WHERE c.chunking = of_chunking AND c.language = of_language AND c.tsv @@ wanted AND {_MAY_READ}
LIMIT most
$body$
"""
_VIEW = """
CREATE VIEW rag.readable_chunks WITH (security_invoker = true) AS
SELECT c.id, coalesce(c.header || E'\\n', '') || c.chunk_text AS content, d.metadata || c.metadata ||
    jsonb_build_object('title', d.title, 'heading_path', c.heading_path, 'header', c.header, 'page', c.page,
        'chunk_index', c.chunk_index, 'char_start', c.char_start, 'char_end', c.char_end) AS metadata,
    d.file_path AS source, p.name AS project, c.document_id, c.header, c.page
FROM rag.document_chunks c
JOIN rag.documents d ON d.id = c.document_id
JOIN rag.projects p ON p.id = d.project_id
WHERE c.chunking = (SELECT s.chunking FROM rag.embedding_spaces s WHERE s.kind = 'chunks' AND s.status = 'live')
"""

_FUNCTIONS = (
    "sign_viewer(jsonb, double precision)",
    "readable_matches(text, regconfig, tsquery, bigint)",
    "viewer_visible_projects()",
    "viewer_open_projects()",
    "viewer_projects()",
    "viewer_readers()",
    "viewer_user()",
    "viewer()",
)


def upgrade() -> None:
    op.create_table(
        "viewer_key",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("inner_pad", sa.LargeBinary(), nullable=False),
        sa.Column("outer_pad", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_viewer_key_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_viewer_key")),
        schema="rag",
    )
    op.execute(_NEW_KEY)
    for statement in (
        _SIGN,
        _VIEWER,
        _READERS,
        _PROJECTS,
        _OPEN_PROJECTS,
        _VISIBLE_PROJECTS,
        _USER,
        _MATCHES,
        _VIEW,
    ):
        op.execute(statement)
    for function in _FUNCTIONS[:2]:
        op.execute(f"REVOKE ALL ON FUNCTION rag.{function} FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP VIEW rag.readable_chunks")
    op.execute(_DROP_POLICIES)
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION rag.{function}")
    op.drop_table("viewer_key", schema="rag")


# Those that `rag-assets db roles` has made, which ask the functions.
_DROP_POLICIES = """
DO $do$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT tablename, policyname FROM pg_policies
        WHERE schemaname = 'rag' AND policyname IN ('rag_assets_all', 'rag_assets_declared')
    LOOP
        EXECUTE format('DROP POLICY %I ON rag.%I', one.policyname, one.tablename);
        EXECUTE format('ALTER TABLE rag.%I DISABLE ROW LEVEL SECURITY', one.tablename);
    END LOOP;
END
$do$
"""
