"""Searches by a script with psycopg alone: the limit that the package is compared with."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg import Connection, sql
from sqlalchemy import URL

from rag_assets.db.index.definition import OPERATORS
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema.ddl import vector_type
from rag_assets.db.spaces.partitions import partition_name

# Force the scan of the graph, so that the planner's choice does not change what is measured.
FORCE_GRAPH_SETTINGS = dict.fromkeys(("enable_seqscan", "enable_sort", "enable_hashjoin", "enable_mergejoin"), "off")


def graph_settings(space: EmbeddingSpace) -> dict[str, str]:
    """The settings of a session that searches like the package, set once."""
    return {"hnsw.ef_search": str(space.ef_search), "hnsw.iterative_scan": "strict_order"}


@contextmanager
def connect_bare(url: URL, settings: Mapping[str, str]) -> Iterator["Connection[Any]"]:
    """Open a connection and set the settings once."""
    with Connection.connect(conninfo(url), autocommit=True) as connection:
        register_vector(connection)
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        yield connection


def conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def exact_distances(connection: "Connection[Any]", space: EmbeddingSpace, vector: Any, k: int) -> list[float]:
    """The distances of the `k` nearest texts by an exact scan."""
    statement = sql.SQL(
        "SELECT embedding {operator} %(query)s FROM {partition} "
        "ORDER BY (embedding {operator} %(query)s) + 0 LIMIT %(k)s"
    ).format(partition=_partition(space), operator=_operator(space))
    return [row[0] for row in connection.execute(statement, {"query": Vector(vector), "k": k})]


def nearest_statement(space: EmbeddingSpace) -> sql.Composed:
    """The ten nearest chunks through the graph, with the columns that a citation needs."""
    return sql.SQL(
        "SELECT n.distance, {cited} FROM (SELECT content_hash, {distance} AS distance FROM {partition} e "
        "ORDER BY {distance} LIMIT 10) n {joined} WHERE c.chunking = {chunking} ORDER BY n.distance LIMIT 10"
    ).format(**_parts(space, "n"))


def filtered_statement(space: EmbeddingSpace, *, by_graph: bool) -> sql.Composed:
    """The ten nearest chunks of documents whose metadata contains `filter`, by the graph or by an exact scan."""
    return sql.SQL(
        "SELECT {distance}, {cited} FROM {partition} e {joined} WHERE c.chunking = {chunking} AND e.space_id = {space} "
        "AND d.metadata @> %(filter)s ORDER BY ({distance}) {exactly} LIMIT 10"
    ).format(
        # The index cannot serve this expression, so the server compares all rows that pass the filter.
        exactly=sql.SQL("" if by_graph else "+ 0"),
        **_parts(space, "e"),
    )


def filter_values(vector: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {"query": Vector(vector), "filter": json.dumps(metadata)}


def _parts(space: EmbeddingSpace, hashes: str) -> dict[str, sql.Composable]:
    schema = sql.Identifier(SCHEMA)
    return {
        "partition": _partition(space),
        "chunking": sql.Literal(space.chunking),
        "space": sql.Literal(space.id),
        "distance": sql.SQL("e.embedding::{type} {operator} %(query)s::{type}").format(
            type=vector_type(space), operator=_operator(space)
        ),
        "cited": sql.SQL(
            "p.name, d.file_path, d.title, c.id, c.chunk_index, c.heading_path, c.char_start, c.char_end, "
            "c.chunk_text, d.id, d.file_type, d.source_version, c.header, c.page"
        ),
        "joined": sql.SQL(
            "JOIN {schema}.document_chunks c ON c.content_hash = {hashes}.content_hash "
            "JOIN {schema}.documents d ON d.id = c.document_id JOIN {schema}.projects p ON p.id = d.project_id"
        ).format(schema=schema, hashes=sql.Identifier(hashes)),
    }


def _partition(space: EmbeddingSpace) -> sql.Identifier:
    return sql.Identifier(SCHEMA, partition_name(space.id))


def _operator(space: EmbeddingSpace) -> sql.SQL:
    return sql.SQL(OPERATORS[space.distance])
