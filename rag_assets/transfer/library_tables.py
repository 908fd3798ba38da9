"""Tables that other libraries wrote: which columns they have, and the address of their rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from psycopg import sql

from rag_assets.documents.sources.rows.address import (
    SCHEME,
    is_row_address,
    parse_row_address,
    split_password,
    split_table,
)
from rag_assets.documents.sources.rows.passwords import find_password
from rag_assets.documents.sources.rows.table import RowTable
from rag_assets.errors import SourceError, UsageError, unknown_name_message

# The tables of a library have at least these columns.
_COLUMNS = {
    "langchain": frozenset({"langchain_id", "content", "embedding"}),
    "llama-index": frozenset({"id", "text", "metadata_", "node_id", "embedding"}),
    "pgai": frozenset({"embedding_uuid", "chunk_seq", "chunk", "embedding"}),
}
_COLLECTIONS = frozenset({"id", "collection_id", "embedding", "document", "cmetadata"})
LIBRARIES = (*_COLUMNS, "table")
_CATALOG = """
SELECT c.table_schema AS schema, c.table_name AS name, c.column_name AS "column",
  c.ordinal_position AS position, t.table_type AS type
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema NOT IN ('pg_catalog', 'information_schema', 'rag')
"""
# A node's own vector is that of its text with the metadata that it does not exclude, as its templates say.
_NODE_TEXT = """
CASE WHEN coalesce(m.shown, '') = '' THEN t.text
ELSE btrim(replace(replace(n.node->>'text_template', '{metadata_str}', m.shown), '{content}', t.text), E' \\n\\t')
END"""
_NODE_METADATA = """
CROSS JOIN LATERAL (SELECT (t.metadata_->>'_node_content')::json AS node) n
LEFT JOIN LATERAL (
  SELECT btrim(string_agg(
    replace(replace(n.node->>'metadata_template', '{key}', e.key), '{value}',
      CASE json_typeof(e.value) WHEN 'string' THEN e.value #>> '{}' WHEN 'boolean' THEN initcap(e.value::text)
        WHEN 'null' THEN 'None' ELSE e.value::text END),
    coalesce(n.node->>'metadata_separator', n.node->>'metadata_seperator', E'\\n') ORDER BY e.place
  ), E' \\n\\t') AS shown
  FROM json_each(n.node->'metadata') WITH ORDINALITY AS e(key, value, place)
  WHERE NOT (n.node->'excluded_embed_metadata_keys')::jsonb ? e.key
) m ON true"""


@dataclass(frozen=True, slots=True)
class TableColumns:
    """What the command names of a table; None and empty for what it does not name."""

    table: str | None = None
    collection: str | None = None
    id: str | None = None
    text: str | None = None
    vector: str | None = None
    metadata: str | None = None


@dataclass(frozen=True, slots=True)
class LibraryRows:
    """The rows of a table: `uri` is their address without `password`; `name` is one for a project.

    `uri_with_metadata` has other texts of the same rows, where the library may have embedded metadata with them.
    """

    uri: str
    password: str | None
    name: str
    uri_with_metadata: str | None = None


@dataclass(frozen=True, slots=True)
class _Relation:
    schema: str
    name: str
    columns: tuple[str, ...]
    is_view: bool

    @property
    def shown(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


def find_library_rows(library: str, url: str, options: TableColumns, state_dir: Path) -> LibraryRows:
    """The address of the rows that a library has written into this database.

    Raises UsageError for an unknown library or option, and SourceError for a database without such a table, or with
    several of which none is named.
    """
    if library not in LIBRARIES:
        raise UsageError(unknown_name_message(library, LIBRARIES, "library"))
    address = url if is_row_address(url) else f"{SCHEME}{url}"
    base, password = split_password(address)
    if library == "table":
        return _given_table(base, password, options)
    if options.collection is not None and library != "langchain":
        raise UsageError(f"--collection is for langchain; name a table of {library} with --table.")
    relations = _read_catalog(base, password, state_dir)
    if library == "langchain" and (options.collection is not None or options.table is None):
        collections = [one for one in relations if set(one.columns) >= _COLLECTIONS]
        if collections:
            return _collection(base, password, collections[0], options.collection, state_dir)
        if options.collection is not None:
            raise SourceError("this database has no table langchain_pg_embedding; name a table with --table.")
    found = _choose(library, relations, options.table)
    if library == "llama-index":
        return _llama_index(base, password, found)
    return _langchain(base, password, found) if library == "langchain" else _pgai(base, password, found)


def _given_table(base: str, password: str | None, options: TableColumns) -> LibraryRows:
    before, _, query = base.partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    for name in ("table", "id", "text", "vector", "metadata"):
        value = getattr(options, name)
        if value is not None:
            parameters[name] = value
    for name in ("id", "text", "vector"):
        if not parameters.get(name):
            raise UsageError(
                f"the {name} of the rows is not named; name its column: rag-assets import table URL --table items "
                "--id id --text body --vector embedding."
            )
    uri = f"{before}?{_encode(parameters)}"
    return LibraryRows(uri, password, parse_row_address(uri).name)


def _read_catalog(base: str, password: str | None, state_dir: Path) -> list[_Relation]:
    found: dict[tuple[str, str], tuple[list[str], bool]] = {}
    for schema, name, column, _, type_ in _query(base, password, _CATALOG, "schema,name,position", state_dir):
        found.setdefault((schema, name), ([], type_ != "BASE TABLE"))[0].append(column)
    return [_Relation(schema, name, tuple(columns), view) for (schema, name), (columns, view) in found.items()]


def _query(base: str, password: str | None, statement: str, order: str, state_dir: Path) -> list[Sequence[str]]:
    """The rows of a query, opened as a source is: its errors are one sentence without the password."""
    from sqlalchemy import column

    uri = _with_parameters(base, {"query": statement, "id": order, "text": "name"})
    address = parse_row_address(uri)
    if address.url.get_backend_name() != "postgresql":
        raise UsageError(
            "tables of other libraries are imported from PostgreSQL; for another database use rag-assets import table."
        )
    known = password or find_password(address, None, state_dir)
    table = RowTable(address, known, "write it into the URL: postgresql://user:password@host/db")
    names = ["schema", "name", "column", "position", "type"] if statement is _CATALOG else ["name", "uuid"]
    try:
        with table.rows(table.select(*map(column, names)).order_by(*table.ids), few=True) as rows:
            return [tuple(row) for row in rows]
    finally:
        table.close()


def _choose(library: str, relations: Sequence[_Relation], table: str | None) -> _Relation:
    fitting = [one for one in relations if _COLUMNS[library] <= set(one.columns)]
    if table is not None:
        schema, name = split_table(table)
        named = [one for one in relations if one.name == name and schema in (None, one.schema)]
        if library == "llama-index":
            # The library puts this before the name that it is given.
            named = named or [one for one in relations if one.name == f"data_{name}" and schema in (None, one.schema)]
        if not named:
            known = ", ".join(one.shown for one in fitting) or "none"
            raise SourceError(f"there is no table {table!r}; tables of {library} here: {known}.")
        missing = sorted(_COLUMNS[library] - set(named[0].columns))
        if missing:
            raise SourceError(
                f"the table {table!r} is not one of {library}: it has no column {missing[0]!r}; import it with "
                "rag-assets import table, which is told its columns."
            )
        return named[0]
    stored = [one for one in fitting if not one.is_view]
    if len(stored) != 1:
        shown = ", ".join(one.shown for one in stored)
        what = f"several tables of {library} ({shown})" if stored else f"no table that {library} wrote"
        raise SourceError(f"this database has {what}; name {'one' if stored else 'it'} with --table.")
    return stored[0]


def _collection(
    base: str, password: str | None, relation: _Relation, wanted: str | None, state_dir: Path
) -> LibraryRows:
    collections = sql.Identifier(relation.schema, "langchain_pg_collection").as_string()
    statement = f"SELECT name, uuid::text AS uuid FROM {collections}"  # noqa: S608
    known = {row[0]: row[1] for row in _query(base, password, statement, "name", state_dir)}
    if wanted is None and len(known) == 1:
        [wanted] = known
    if wanted is None or wanted not in known:
        shown = ", ".join(sorted(known)) or "none"
        what = "which collection is imported is not clear" if wanted is None else f"there is no collection {wanted!r}"
        raise SourceError(f"{what}; name one with --collection (there are {shown}).")
    own = sql.SQL("SELECT id, document, cmetadata, embedding FROM {} WHERE collection_id = {}").format(
        sql.Identifier(relation.schema, relation.name), sql.Literal(known[wanted])
    )
    parameters = {"query": own.as_string(), "id": "id", "text": "document", "metadata": "cmetadata.*"}
    return LibraryRows(_with_parameters(base, parameters | {"vector": "embedding"}), password, wanted)


def _langchain(base: str, password: str | None, relation: _Relation) -> LibraryRows:
    left_out = {"langchain_id", "content", "embedding", "langchain_metadata", "content_tsv"}
    metadata = [f'"{name}"' for name in relation.columns if name not in left_out]
    if "langchain_metadata" in relation.columns:
        metadata.append("langchain_metadata.*")
    return _of_table(base, password, relation, "langchain_id", "content", metadata)


def _pgai(base: str, password: str | None, relation: _Relation) -> LibraryRows:
    own = [name for name in relation.columns if name not in _COLUMNS["pgai"]]
    # The table has the source's primary key; a view has all columns of the source.
    id_ = "embedding_uuid" if relation.is_view else ",".join([*(f'"{name}"' for name in own), "chunk_seq"])
    return _of_table(base, password, relation, id_, "chunk", [*(f'"{name}"' for name in own), "chunk_seq"])


def _of_table(
    base: str, password: str | None, relation: _Relation, id_: str, text: str, metadata: Sequence[str]
) -> LibraryRows:
    table = f'"{relation.schema}"."{relation.name}"'
    parameters = {"table": table, "id": id_, "text": text, "metadata": ",".join(metadata), "vector": "embedding"}
    name = relation.name.removesuffix("_embedding_store").removesuffix("_embedding")
    return LibraryRows(_with_parameters(base, parameters), password, name)


def _llama_index(base: str, password: str | None, relation: _Relation) -> LibraryRows:
    own = "t.metadata_::jsonb - '_node_content' - '_node_type' AS node_metadata"
    table = sql.Identifier(relation.schema, relation.name).as_string()
    columns = f"t.node_id, {own}, t.embedding FROM {table} t"
    plain = f"SELECT t.id, t.text AS content, {columns}"
    embedded = f"SELECT t.id, {_NODE_TEXT} AS content, {columns} {_NODE_METADATA}"
    rest = {"id": "id", "text": "content", "metadata": "node_id,node_metadata.*", "vector": "embedding"}
    return LibraryRows(
        _with_parameters(base, {"query": plain} | rest),
        password,
        relation.name.removeprefix("data_"),
        _with_parameters(base, {"query": " ".join(embedded.split())} | rest),
    )


def _with_parameters(base: str, parameters: Mapping[str, str]) -> str:
    before, _, query = base.partition("?")
    return f"{before}?{_encode(parameters)}{'&' if query else ''}{query}"


def _encode(parameters: Mapping[str, str]) -> str:
    return urlencode(parameters, quote_via=quote, safe=",*()")
