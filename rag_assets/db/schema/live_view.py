"""The view `rag.live_chunks`: the chunks and vectors of the live space, for every other client of the database."""

from psycopg import errors, sql
from sqlalchemy import Connection, text

from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema.ddl import execute_ddl, execute_exclusive_ddl, vector_type
from rag_assets.errors import IntegrityError

LIVE_VIEW = sql.Identifier(SCHEMA, "live_chunks")
_NAME = f"{SCHEMA}.live_chunks"
# Name to (type, description).
LIVE_COLUMNS = {
    "id": ("uuid", "Key of the chunk, the same after every rebuild."),
    "content": ("text", "Text of the chunk, below its header where it has one: what was embedded."),
    "embedding": ("vector", "Vector of the chunk in the live space, in the type of that space's index."),
    "metadata": ("jsonb", "Metadata of document and chunk, with title, heading_path, header, page and offsets."),
    "source": ("text", "Path of the document below its source."),
    "project": ("text", "Name of the project."),
    "document_id": ("uuid", "Key of the document."),
    "header": ("text", "Names of the columns, for a piece of a table; else NULL."),
    "page": ("integer", "Page of the document, from 1; NULL for a document without pages."),
}

_GRANTS = text(
    "SELECT CASE WHEN acl.grantee <> 0 THEN acl.grantee::regrole::text END, acl.privilege_type, acl.is_grantable "
    "FROM pg_class AS view, aclexplode(view.relacl) AS acl "
    "WHERE view.oid = to_regclass(:view) AND acl.grantee <> view.relowner"
)


def live_view_statement(space: EmbeddingSpace, partition: str) -> sql.Composed:
    """The statement that creates or replaces the view: all chunks of this space with their vectors."""
    return sql.SQL(
        "CREATE OR REPLACE VIEW {view} AS "
        "SELECT c.id, coalesce(c.header || E'\\n', '') || c.chunk_text AS content, e.embedding::{type} AS embedding, "
        "d.metadata || c.metadata || jsonb_build_object('title', d.title, 'heading_path', c.heading_path, "
        "'header', c.header, 'page', c.page, "
        "'chunk_index', c.chunk_index, 'char_start', c.char_start, 'char_end', c.char_end) AS metadata, "
        "d.file_path AS source, p.name AS project, c.document_id, c.header, c.page "
        "FROM {schema}.document_chunks c "
        "JOIN {schema}.documents d ON d.id = c.document_id "
        "JOIN {schema}.projects p ON p.id = d.project_id "
        "JOIN {partition} e ON e.content_hash = c.content_hash "
        "WHERE c.chunking = {chunking}"
    ).format(
        view=LIVE_VIEW,
        type=vector_type(space),
        schema=sql.Identifier(SCHEMA),
        partition=sql.Identifier(SCHEMA, partition),
        chunking=sql.Literal(space.chunking),
    )


def replace_live_view(connection: Connection, space: EmbeddingSpace, partition: str) -> None:
    """Make the view read this space; privileges granted on it are kept.

    Raises IntegrityError if the type of the vectors changes and another view depends on this one: PostgreSQL does not
    change the type of a column that another view uses.
    """
    try:
        execute_exclusive_ddl(connection, live_view_statement(space, partition), _NAME)
        return
    except errors.InvalidTableDefinition:
        # The type of the vectors changes, or an older version had other columns: drop the view and create it again.
        pass
    grants = connection.execute(_GRANTS, {"view": _NAME}).all()
    try:
        execute_exclusive_ddl(connection, sql.SQL("DROP VIEW {}").format(LIVE_VIEW), _NAME)
    except errors.DependentObjectsStillExist as error:
        others = "; ".join((error.diag.message_detail or "").splitlines())
        raise IntegrityError(
            f"the columns of rag.live_chunks change (vectors become {space.storage}({space.dimensions})), which "
            f"PostgreSQL refuses while other views depend on it: {others}. Drop those views, run again, then create "
            "them again."
        ) from None
    execute_ddl(connection, live_view_statement(space, partition))
    for role, privilege, grantable in grants:
        execute_ddl(
            connection,
            sql.SQL("GRANT {privilege} ON {view} TO {role}{option}").format(
                privilege=sql.SQL(privilege),
                view=LIVE_VIEW,
                role=sql.SQL(role or "PUBLIC"),
                option=sql.SQL(" WITH GRANT OPTION" if grantable else ""),
            ),
        )
