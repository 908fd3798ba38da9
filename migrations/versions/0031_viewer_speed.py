"""Let policies ask for a viewer once for each table, and add what searches read for one: all without joining twice."""

# ruff: noqa: S608
# Nothing but texts of this file and the schema of the extension is put together.

import importlib.util
from pathlib import Path
from types import ModuleType

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

LOCKS = {
    "documents": "builds an index of the documents without readers; searches continue",
    "projects": "builds an index of the projects with readers; searches continue",
}

_OPTIONS = "STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
# The text of the array is signed, too: parsing it takes less time than a query.
_SIGN = """
CREATE OR REPLACE FUNCTION rag.sign_viewer(facts jsonb, lifetime_s double precision DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    key rag.viewer_key%ROWTYPE;
    given jsonb := facts || jsonb_build_object(
        'allowed', (ARRAY(SELECT jsonb_array_elements_text(facts -> 'readers')) || 'everyone'::text)::text,
        -- Of no project where that is not said.
        'limit', CASE jsonb_typeof(facts -> 'projects')
            WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(facts -> 'projects'))::text
            WHEN 'null' THEN NULL ELSE '{}' END);
    message bytea;
BEGIN
    SELECT * INTO STRICT key FROM rag.viewer_key;
    message := convert_to(CASE
        WHEN lifetime_s IS NULL
            THEN 'T' || pg_backend_pid() || ' ' || extract(epoch FROM transaction_timestamp())
        ELSE 'E' || (extract(epoch FROM clock_timestamp()) + lifetime_s::numeric)
    END || '|' || given::text, 'UTF8');
    RETURN encode(sha256(key.outer_pad || sha256(key.inner_pad || message)), 'hex')
        || '|' || convert_from(message, 'UTF8');
END
$body$
"""
# Without queries of their own: an expression of PL/pgSQL takes microseconds, and each policy asks again.
_READERS = f"""
CREATE OR REPLACE FUNCTION rag.viewer_readers() RETURNS text[] LANGUAGE plpgsql {_OPTIONS} AS $body$
BEGIN
    RETURN (rag.viewer() ->> 'allowed')::text[];
END
$body$
"""
_LIMIT = f"""
CREATE FUNCTION rag.viewer_limit() RETURNS uuid[] LANGUAGE plpgsql {_OPTIONS} AS $body$
BEGIN
    RETURN (rag.viewer() ->> 'limit')::uuid[];
END
$body$
"""
_CLOSED_PROJECTS = f"""
CREATE FUNCTION rag.viewer_closed_projects() RETURNS uuid[] LANGUAGE plpgsql {_OPTIONS} AS $body$
DECLARE
    mine text[] := rag.viewer_readers();
BEGIN
    IF mine IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT p.id FROM rag.projects p WHERE p.settings ? 'readers'
        AND jsonb_typeof(p.settings -> 'readers') <> 'null' AND NOT (p.settings -> 'readers') ?| mine);
END
$body$
"""
_VISIBLE_PROJECTS = f"""
CREATE OR REPLACE FUNCTION rag.viewer_visible_projects() RETURNS uuid[] LANGUAGE plpgsql {_OPTIONS} AS $body$
DECLARE
    mine text[] := rag.viewer_readers();
    closed uuid[] := rag.viewer_closed_projects();
    only_in uuid[] := rag.viewer_limit();
BEGIN
    RETURN (SELECT array_agg(p.id) FROM rag.projects p WHERE (only_in IS NULL OR p.id = ANY (only_in))
        AND (p.id <> ALL (closed)
            OR EXISTS (SELECT FROM rag.documents d WHERE d.project_id = p.id AND d.readers && mine)));
END
$body$
"""
_RIGHTS = """
    mine text[] := rag.viewer_readers();
    closed uuid[] := rag.viewer_closed_projects();
    only_in uuid[] := rag.viewer_limit();
"""
_MAY_READ = (
    "(d.readers && mine OR (d.readers IS NULL AND d.project_id <> ALL (closed))) "
    "AND (only_in IS NULL OR d.project_id = ANY (only_in))"
)
# One plan for all viewers: planning takes longer than finding the rows of a few documents.
_PLAN = "SET plan_cache_mode = force_generic_plan"
_MATCHES = f"""
CREATE OR REPLACE FUNCTION rag.readable_matches(
    of_chunking text, of_language regconfig, wanted tsquery, most bigint)
RETURNS TABLE (id uuid, document_id uuid, chunk_index integer, token_count integer, tsv tsvector)
LANGUAGE plpgsql {_OPTIONS} {_PLAN} AS $body$
#variable_conflict use_column
DECLARE{_RIGHTS}BEGIN
    RETURN QUERY SELECT c.id, c.document_id, c.chunk_index, c.token_count, c.tsv
    FROM rag.document_chunks c
    WHERE c.chunking = of_chunking AND c.language = of_language AND c.tsv @@ wanted
        AND EXISTS (SELECT FROM rag.documents d WHERE d.id = c.document_id AND {_MAY_READ} OFFSET 0)
    LIMIT most;
END
$body$
"""
_SAMPLE = f"""
CREATE FUNCTION rag.readable_sample(of_chunking text, most bigint)
RETURNS TABLE (document_id uuid, language regconfig, token_count integer, tsv tsvector)
LANGUAGE plpgsql {_OPTIONS} {_PLAN} AS $body$
#variable_conflict use_column
DECLARE{_RIGHTS}BEGIN
    RETURN QUERY SELECT c.document_id, c.language, c.token_count, c.tsv
    FROM rag.documents d
    JOIN rag.document_chunks c ON c.document_id = d.id
    WHERE c.chunking = of_chunking AND {_MAY_READ}
    LIMIT most;
END
$body$
"""


def _compare(cast: str) -> str:
    ways = {"cosine": "<=>", "l2": "<->", "ip": "<#>", "l1": "<+>"}
    arms = (f"WHEN '{name}' THEN e.embedding{cast} OPERATOR(EXT.{sign}) query{cast}" for name, sign in ways.items())
    return f"CASE by_distance {' '.join(arms)} END"


_NEAREST = f"""
CREATE FUNCTION rag.readable_nearest(
    of_space integer, of_chunking text, query EXT.vector, by_distance text, halved boolean, most bigint, k bigint)
RETURNS TABLE (content_hash bytea, distance double precision, compared bigint, qualifying bigint)
LANGUAGE plpgsql {_OPTIONS} {_PLAN} AS $body$
#variable_conflict use_column
DECLARE{_RIGHTS}
    hashes bytea[];
    readable bigint;
BEGIN
    SELECT array_agg(t.content_hash), count(*) INTO hashes, readable
    FROM (SELECT c.content_hash
        FROM rag.documents d
        JOIN rag.document_chunks c ON c.document_id = d.id
        WHERE c.chunking = of_chunking AND {_MAY_READ}
        LIMIT most + 1) t;
    IF readable BETWEEN 1 AND most THEN
        RETURN QUERY WITH measured AS MATERIALIZED (
            SELECT e.content_hash, CASE WHEN halved THEN {_compare("::EXT.halfvec")} ELSE {_compare("")} END
                AS distance
            FROM rag.embeddings e
            WHERE e.space_id = of_space AND e.content_hash = ANY (hashes))
        SELECT m.content_hash, m.distance, (SELECT count(*) FROM measured), readable
        FROM measured m ORDER BY m.distance, m.content_hash LIMIT k;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY SELECT NULL::bytea, NULL::double precision, 0::bigint, readable;
END
$body$
"""
# The operators are those of the extension's schema, which no search path of the function names.
_WITH_EXTENSION = """
DO $do$
BEGIN
    EXECUTE replace($function$STATEMENT$function$, 'EXT.', (SELECT format('%I.', n.nspname)
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'));
END
$do$
"""
_DROP_NEAREST = """
DO $do$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'rag'::regnamespace AND proname = 'readable_nearest'
    LOOP
        EXECUTE format('DROP FUNCTION %s', one);
    END LOOP;
END
$do$
"""
# Closed until the roles are made again.
_CLOSE_POLICIES = """
DO $do$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT tablename, policyname FROM pg_policies
        WHERE schemaname = 'rag' AND policyname = 'rag_assets_declared' AND qual LIKE '%viewer_%'
    LOOP
        EXECUTE format('ALTER POLICY %I ON rag.%I USING (false)', one.policyname, one.tablename);
    END LOOP;
END
$do$
"""


def upgrade() -> None:
    op.create_index(
        "ix_documents_unrestricted",
        "documents",
        ["project_id"],
        schema="rag",
        postgresql_where=sa.text("readers IS NULL"),
    )
    op.create_index(
        "ix_projects_restricted", "projects", ["id"], schema="rag", postgresql_where=sa.text("settings ? 'readers'")
    )
    for statement in (_SIGN, _READERS, _LIMIT, _CLOSED_PROJECTS, _VISIBLE_PROJECTS, _MATCHES, _SAMPLE):
        op.execute(statement)
    op.execute(_WITH_EXTENSION.replace("STATEMENT", _NEAREST))
    op.execute("REVOKE ALL ON FUNCTION rag.readable_sample(text, bigint), rag.readable_nearest FROM PUBLIC")


def downgrade() -> None:
    op.execute(_CLOSE_POLICIES)
    op.execute(_DROP_NEAREST)
    for function in ("readable_sample(text, bigint)", "viewer_closed_projects()", "viewer_limit()"):
        op.execute(f"DROP FUNCTION rag.{function}")
    before = _load("0028_declared_viewers")
    for statement in (before._SIGN, before._READERS, before._VISIBLE_PROJECTS, before._MATCHES):
        op.execute(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.drop_index("ix_projects_restricted", "projects", schema="rag")
    op.drop_index("ix_documents_unrestricted", "documents", schema="rag")


def _load(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
