"""The one statement that makes the vector index of a space, and how PostgreSQL prints it afterwards."""

import math

from psycopg import sql

from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema.ddl import vector_type
from rag_assets.db.spaces.spaces import partition_name

OPERATORS = {"cosine": "<=>", "l2": "<->", "ip": "<#>"}
_OPCLASS = {"cosine": "cosine_ops", "l2": "l2_ops", "ip": "ip_ops"}

# pgvector's advice: a thousand rows a list up to a million rows, then as many lists as rows in each.
_ROWS_PER_LIST = 1_000
_MOST_LISTS = 32_768


def index_name(space: EmbeddingSpace) -> str:
    """What the index is called where nothing else has taken the name."""
    return f"ix_{partition_name(space.id)}_{space.method}"


def lists_for(rows: int) -> int:
    """The lists of an IVFFlat index over so many rows."""
    advised = rows / _ROWS_PER_LIST if rows <= _ROWS_PER_LIST**2 else math.sqrt(rows)
    return min(max(1, round(advised)), _MOST_LISTS)


def create_index(
    space: EmbeddingSpace,
    table: str,
    name: str,
    *,
    rows: int,
    schema: str | None = SCHEMA,
    concurrently: bool = False,
) -> sql.Composed:
    """The statement for an index of this space on any table of its shape with about so many rows."""
    return sql.SQL(
        "CREATE INDEX {concurrently}{name} ON {table} USING {method} ({expression} {opclass}) WITH ({options})"
    ).format(
        concurrently=sql.SQL("CONCURRENTLY " if concurrently else ""),
        name=sql.Identifier(name),
        table=sql.Identifier(schema, table) if schema else sql.Identifier(table),
        method=sql.SQL(space.method),
        expression=_expression(space),
        opclass=sql.SQL(_opclass(space)),
        options=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.SQL(option), sql.Literal(value))
            for option, value in _options(space, lists_for(rows)).items()
        ),
    )


def index_definition(
    space: EmbeddingSpace, name: str | None = None, table: str | None = None, *, lists: int = 1
) -> str:
    """The index as PostgreSQL prints it when it is the wanted one; anything else is stale."""
    expression = f"(embedding)::{vector_type(space).as_string(None)}"
    if space.storage == "bit":
        expression = f"(binary_quantize({expression}))::bit({space.dimensions})"
    opclass = _opclass(space)
    # pgvector's one default, which PostgreSQL does not print.
    shown = "" if (space.method, opclass) == ("ivfflat", "vector_l2_ops") else f" {opclass}"
    options = ", ".join(f"{option}='{value}'" for option, value in _options(space, lists).items())
    return (
        f"CREATE INDEX {name or index_name(space)} ON {SCHEMA}.{table or partition_name(space.id)} "
        f"USING {space.method} (({expression}){shown}) WITH ({options})"
    )


def _expression(space: EmbeddingSpace) -> sql.Composed:
    if space.storage == "bit":
        # The inner type holds every vector to the dimensions of the space: bits would be cut or filled up in silence.
        return sql.SQL("(binary_quantize(embedding::{})::bit({}))").format(
            vector_type(space), sql.Literal(space.dimensions)
        )
    return sql.SQL("(embedding::{})").format(vector_type(space))


def _opclass(space: EmbeddingSpace) -> str:
    return "bit_hamming_ops" if space.storage == "bit" else f"{space.storage}_{_OPCLASS[space.distance]}"


def _options(space: EmbeddingSpace, lists: int) -> dict[str, int]:
    if space.method == "ivfflat":
        return {"lists": lists}
    return {"m": space.m, "ef_construction": space.ef_construction}
