"""The roles that see what a declared viewer may read, their grants and the policies: one list of statements.

| role | may |
|---|---|
| the owner, who made the tables | everything; no policy applies to it |
| rag_assets_reader | read documents, chunks, conversations and memories, by SQL |
| rag_assets_writer | the same, and write conversations, messages and memories |
| rag_assets_search | what searches of this package read: also vectors; for processes that declare viewers |

The policies restrict these roles alone: for other roles everything stays as it was granted.
"""

from collections.abc import Iterator

from psycopg import sql
from sqlalchemy import Connection, text

from rag_assets.db.access.viewer import HAS_POLICIES, SEARCH_ROLE
from rag_assets.db.models import SCHEMA
from rag_assets.db.schema.ddl import execute_ddl

READER_ROLE, WRITER_ROLE = "rag_assets_reader", "rag_assets_writer"
ROLES = (READER_ROLE, WRITER_ROLE, SEARCH_ROLE)

# Columns without those that name other readers, runs or errors.
_DOCUMENT_COLUMNS = (
    "id, project_id, file_path, title, content, content_hash, file_type, size_bytes, source_version, metadata, "
    "created_at, updated_at"
)
_CHUNK_COLUMNS = (
    "id, document_id, chunking, chunk_index, header, chunk_text, content_hash, page, char_start, char_end, "
    "token_count, heading_path, metadata, language, tsv, created_at, updated_at"
)
_READER_GRANTS = {
    "projects": "SELECT (id, name, description, created_at, updated_at)",
    "documents": f"SELECT ({_DOCUMENT_COLUMNS})",
    "document_chunks": f"SELECT ({_CHUNK_COLUMNS})",
    "embedding_spaces": "SELECT (id, kind, chunking, model, dimensions, distance, status)",
    "readable_chunks": "SELECT",
    "users": "SELECT",
    "conversations": "SELECT",
    "conversation_messages": "SELECT",
    "memories": "SELECT",
}
_GRANTS = {
    READER_ROLE: _READER_GRANTS,
    WRITER_ROLE: _READER_GRANTS
    | dict.fromkeys(("conversations", "conversation_messages", "memories"), "SELECT, INSERT, UPDATE, DELETE"),
    SEARCH_ROLE: dict.fromkeys(
        ("projects", "documents", "document_chunks", "document_chunkings", "embedding_spaces", "embeddings"), "SELECT"
    ),
}

_SEARCH_FUNCTIONS = ("readable_matches", "readable_sample", "readable_nearest")

# `OFFSET 0`: one probe of an index for each row, never a scan of all rows that the viewer may read.
_OF_READABLE_DOCUMENT = "EXISTS (SELECT 1 FROM rag.documents d WHERE d.id = document_id OFFSET 0)"
_IN_VISIBLE_PROJECT = (
    "(project_id IS NULL OR project_id = ANY ((SELECT rag.viewer_visible_projects())::uuid[])) "
    "AND (SELECT rag.viewer()) IS NOT NULL"
)
# No limit is NULL. What a subquery asks is asked once for each statement, and only when a row depends on it.
_WITHIN_LIMIT = "COALESCE({} = ANY ((SELECT rag.viewer_limit())::uuid[]), true)"
_IN_OPEN_PROJECT = "{} <> ALL ((SELECT rag.viewer_closed_projects())::uuid[])"
_HAS_READABLE_DOCUMENT = "EXISTS (SELECT 1 FROM rag.documents d WHERE d.project_id = projects.id OFFSET 0)"
_POLICIES = {
    # One probe for the project of each hit: listing all visible projects takes longer than a search.
    "projects": f"({_IN_OPEN_PROJECT.format('id')} OR {_HAS_READABLE_DOCUMENT}) AND {_WITHIN_LIMIT.format('id')}",
    "documents": (
        "(readers && (SELECT rag.viewer_readers()) "
        f"OR (readers IS NULL AND {_IN_OPEN_PROJECT.format('project_id')})) AND {_WITHIN_LIMIT.format('project_id')}"
    ),
    "document_chunks": _OF_READABLE_DOCUMENT,
    "document_chunkings": _OF_READABLE_DOCUMENT,
    "users": "id = (SELECT rag.viewer_user())",
    "conversations": f"user_id = (SELECT rag.viewer_user()) AND {_IN_VISIBLE_PROJECT}",
    "conversation_messages": "EXISTS (SELECT 1 FROM rag.conversations c WHERE c.id = conversation_id OFFSET 0)",
    "memories": f"(user_id IS NULL OR user_id = (SELECT rag.viewer_user())) AND {_IN_VISIBLE_PROJECT}",
    # Through the parent table; each partition of a space of chunks has its own.
    "embeddings": (
        "EXISTS (SELECT 1 FROM rag.embedding_spaces s WHERE s.id = space_id AND s.kind = 'chunks' OFFSET 0) "
        "AND EXISTS (SELECT 1 FROM rag.document_chunks c WHERE c.content_hash = embeddings.content_hash OFFSET 0)"
    ),
    # No row: what leads to rows of others.
    **dict.fromkeys(
        (
            "staged_documents",
            "staged_chunkings",
            "staged_chunks",
            "lexemes",
            "word_statistics",
            "embedding_failures",
            "query_vectors",
            "sessions",
            "api_keys",
            "audit_entries",
            "api_key_projects",
            "viewer_key",
        ),
        "false",
    ),
}
_POLICY_OF_PARTITION = "EXISTS (SELECT 1 FROM rag.document_chunks c WHERE c.content_hash = TABLE.content_hash OFFSET 0)"
# The partitions of the spaces of chunks, and the parts of these.
_TABLES_OF_CHUNKS = text(
    "SELECT s.id, c.relname FROM rag.embedding_spaces s, pg_partition_tree('rag.embeddings') t "
    "JOIN pg_class c ON c.oid = t.relid WHERE s.kind = 'chunks' "
    "AND regexp_replace(c.relname, '_p[0-9]+$', '') = format('embeddings_%s', s.id) ORDER BY s.id, c.relname"
)


def role_statements(connection: Connection) -> list[sql.Composed]:
    """What makes the roles, grants and policies; it may run again at any time."""
    return [*map(_create_role, ROLES), *_grant_owner(connection), *_statements(connection)]


def apply_roles(connection: Connection) -> None:
    """Run them in the connection's transaction."""
    for statement in role_statements(connection):
        execute_ddl(connection, statement)


def keep_roles_right(connection: Connection) -> None:
    """Bring grants and policies up to date where they were made: after a migration, or with a new partition."""
    if connection.scalar(HAS_POLICIES):
        for statement in _statements(connection):
            execute_ddl(connection, statement)


def protect_partition(connection: Connection, space_id: int) -> None:
    """Give a new partition of `embeddings` its policy, where there are policies and its space is one of chunks."""
    if connection.scalar(HAS_POLICIES):
        for _, table in [row for row in connection.execute(_TABLES_OF_CHUNKS) if row[0] == space_id]:
            for statement in _partition_statements(table):
                execute_ddl(connection, statement)


def _create_role(role: str) -> sql.Composed:
    # Two databases of one server may make them at the same time.
    return sql.SQL(
        "DO $do$ BEGIN IF to_regrole({name}) IS NULL THEN CREATE ROLE {role} NOLOGIN; END IF; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $do$"
    ).format(name=sql.Literal(role), role=sql.Identifier(role))


def _grant_owner(connection: Connection) -> Iterator[sql.Composed]:
    """The owner takes the role of searches for the transactions of a viewer; a superuser needs no grant."""
    owner = connection.execute(
        text(
            "SELECT r.rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner "
            "WHERE c.oid = 'rag.documents'::regclass AND NOT r.rolsuper"
        )
    ).scalar()
    if owner is not None:
        yield sql.SQL("GRANT {} TO {}").format(sql.Identifier(SEARCH_ROLE), sql.Identifier(owner))


def _statements(connection: Connection) -> Iterator[sql.Composed]:
    schema = sql.Identifier(SCHEMA)
    roles = sql.SQL(", ").join(map(sql.Identifier, ROLES))
    yield sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, roles)
    yield sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(schema, roles)
    for role, grants in _GRANTS.items():
        for table, privileges in grants.items():
            yield sql.SQL("GRANT {} ON {} TO {}").format(
                sql.SQL(privileges), sql.Identifier(SCHEMA, table), sql.Identifier(role)
            )
    yield sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(
        sql.SQL(", ").join(sql.Identifier(SCHEMA, function) for function in _SEARCH_FUNCTIONS),
        sql.Identifier(SEARCH_ROLE),
    )
    for table, condition in _POLICIES.items():
        yield from _policy_statements(table, condition)
    for _, table in connection.execute(_TABLES_OF_CHUNKS).all():
        yield from _partition_statements(table)


def _partition_statements(table: str) -> Iterator[sql.Composed]:
    yield sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(SCHEMA, table), sql.Identifier(SEARCH_ROLE))
    condition = _POLICY_OF_PARTITION.replace("TABLE", table)
    yield from _policy_statements(table, condition)


def _policy_statements(table: str, condition: str) -> Iterator[sql.Composed]:
    place = sql.Identifier(SCHEMA, table)
    roles = sql.SQL(", ").join(map(sql.Identifier, ROLES))
    yield sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(place)
    for policy in ("rag_assets_all", "rag_assets_declared"):
        yield sql.SQL("DROP POLICY IF EXISTS {} ON {}").format(sql.Identifier(policy), place)
    yield sql.SQL("CREATE POLICY rag_assets_all ON {} USING (true) WITH CHECK (true)").format(place)
    yield sql.SQL("CREATE POLICY rag_assets_declared ON {} AS RESTRICTIVE TO {} USING ({})").format(
        place, roles, sql.SQL(condition)
    )
