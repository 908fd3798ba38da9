"""The definition of a space's vector index: its CREATE INDEX statement, as PostgreSQL prints it, and as expressions."""

import math
from typing import Any

from pgvector.sqlalchemy import BIT, HALFVEC, VECTOR
from psycopg import sql
from sqlalchemy import ColumnElement, cast, func

from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema.ddl import vector_type
from rag_assets.db.spaces.partitions import partition_name

OPERATORS = {"cosine": "<=>", "l2": "<->", "ip": "<#>"}
_OPCLASS = {"cosine": "cosine_ops", "l2": "l2_ops", "ip": "ip_ops"}

# pgvector's advice: rows / 1000 lists up to a million rows, sqrt(rows) above.
_ROWS_PER_LIST = 1_000
_MAX_LISTS = 32_768


def index_name(space: EmbeddingSpace, table: str | None = None) -> str:
    """The regular name of the index on one of the space's tables, by default on its partition."""
    return f"ix_{table or partition_name(space.id)}_{space.method}"


def lists_for(rows: int) -> int:
    """The number of lists of an IVFFlat index over so many rows."""
    advised = rows / _ROWS_PER_LIST if rows <= _ROWS_PER_LIST**2 else math.sqrt(rows)
    return min(max(1, round(advised)), _MAX_LISTS)


def create_index(
    space: EmbeddingSpace,
    table: str,
    name: str,
    *,
    rows: int,
    schema: str | None = SCHEMA,
    concurrently: bool = False,
) -> sql.Composed:
    """The statement that creates the index on `table`, which has the columns of a partition and about `rows` rows."""
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
    """The definition as PostgreSQL prints it; an index with another one is stale."""
    expression = f"(embedding)::{vector_type(space).as_string(None)}"
    if space.storage == "bit":
        expression = f"(binary_quantize({expression}))::bit({space.dimensions})"
    opclass = _opclass(space)
    # PostgreSQL does not print an operator class that is pgvector's default.
    printed_opclass = "" if (space.method, opclass) == ("ivfflat", "vector_l2_ops") else f" {opclass}"
    options = ", ".join(f"{option}='{value}'" for option, value in _options(space, lists).items())
    return (
        f"CREATE INDEX {name or index_name(space)} ON {SCHEMA}.{table or partition_name(space.id)} "
        f"USING {space.method} (({expression}){printed_opclass}) WITH ({options})"
    )


def comparable_vector(space: EmbeddingSpace, vector: ColumnElement[Any]) -> ColumnElement[Any]:
    """The vector in the type in which distances are computed."""
    return cast(vector, HALFVEC(space.dimensions) if space.storage == "halfvec" else VECTOR(space.dimensions))


def indexed_vector(space: EmbeddingSpace, vector: ColumnElement[Any]) -> ColumnElement[Any]:
    """The indexed expression; the planner uses the index only for a search with exactly this expression."""
    if space.storage == "bit":
        return cast(func.binary_quantize(comparable_vector(space, vector)), BIT(space.dimensions))
    return comparable_vector(space, vector)


def _expression(space: EmbeddingSpace) -> sql.Composed:
    if space.storage == "bit":
        # The inner cast rejects vectors of other dimensions; a cast of bits would truncate or pad them silently.
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
