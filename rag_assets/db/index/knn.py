"""SQL for a nearest-neighbour search through a space's index: its settings, its order, and the exact distances.

HNSW over `vector` gives rows in their exact order. Every other index gives candidates, which are sorted again by their
exact distances: binary quantization (`bit`) orders by Hamming distance, IVFFlat orders only within each group of lists
that it probes, and `halfvec` rounds the numbers once more than the distance does.
"""

import math
from collections.abc import Sequence
from typing import Any

from pgvector.sqlalchemy import BIT, HALFVEC, VECTOR
from sqlalchemy import (
    CTE,
    ColumnElement,
    Float,
    FromClause,
    Integer,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    lateral,
    literal_column,
    select,
    table,
    true,
)

from rag_assets.db.connections.compiled import text_literal
from rag_assets.db.index.definition import OPERATORS, comparable_vector, indexed_vector
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.models.embeddings import DEFAULT_EF_SEARCH
from rag_assets.db.spaces.partitions import partition_name, table_names
from rag_assets.db.spaces.vector_codec import AnyVector

# The distances that a search can ask for: those of indexes, and L1, which is always compared exactly.
ALL_OPERATORS = OPERATORS | {"l1": "<+>"}
_HAMMING_OPERATOR = "<~>"
# A search never scans more of the graph than this.
MAX_SCAN_TUPLES = 100_000
MAX_EF_SEARCH = 1_000
MIN_EF_SEARCH_OF_PART = 40
# Beyond the number that a graph keeps, reading on takes about another search. The nearest of a space fall into its
# parts by chance: of 800, hardly ever more than a quarter more than the mean into one of four.
SPARE_SHARE = 1.25
# ef_search is the one measure of effort for both methods, and `rag-assets tune` finds it. At its default, an IVFFlat
# search probes the square root of the number of lists, as pgvector advises.
EF_SEARCH_AT_ADVISED_PROBES = DEFAULT_EF_SEARCH


def rescored_candidates(space: EmbeddingSpace, k: int, ef_search: int) -> int | None:
    """How many candidates of a binary-quantized index are compared by their full vectors; None for other indexes."""
    return max(ef_search, k * space.oversampling) if space.storage == "bit" else None


def query_cte(
    space: EmbeddingSpace, vectors: Table | None = None, candidates: int | None = None, *, relaxed: bool = False
) -> CTE:
    """The query's vector, `v`, read once; reading it applies the index settings to this statement.

    `relaxed`: the index may go on past its first candidates in an order that is only approximately by distance.
    """
    # By way of the type `vector`, which a packed vector has whatever the space's own type.
    vector = cast(cast(bindparam("query"), VECTOR()), _vector_type(space))
    columns: list[ColumnElement[Any]] = [vector.label("v")]
    if space.storage == "bit":
        columns.append(_binary_quantize(space, vector).label("bits"))
    return materialize(select(*columns, *statement_settings(space, vectors, candidates, relaxed=relaxed)).cte("query"))


def statement_values(vector: AnyVector, ef_search: int, scan_tuples: int = MAX_SCAN_TUPLES) -> dict[str, Any]:
    """The values of the parameters of `query_cte`."""
    return {"query": vector, "ef_search": str(ef_search), "scan_tuples": str(scan_tuples)}


def nearest_texts(
    space: EmbeddingSpace,
    vectors: Table,
    k: int,
    *,
    candidates: int | None = None,
    qualifies: FromClause | None = None,
    conditions: Sequence[ColumnElement[bool]] = (),
    by_policy: bool = False,
) -> Select[Any]:
    """The `k` nearest distinct texts, through the index: (content_hash, distance).

    `candidates`: see `rescored_candidates`. `qualifies`: a lateral that has a row for each text that passes a filter.
    `by_policy`: policies filter the vectors.
    """
    # With a filter the index goes far beyond its first candidates. A strict order would drop rows that are near but
    # come late.
    relaxed = by_policy or qualifies is not None
    query = query_cte(space, vectors, candidates, relaxed=relaxed)
    distance = distance_to_query(space, vectors, query).label("distance")
    texts = select(vectors.c.content_hash, distance).where(*conditions)
    if qualifies is not None:
        texts = texts.join(qualifies, true())
    bits = select(query.c.bits).scalar_subquery() if space.storage == "bit" else None
    return _first_by_distance(
        space, texts, distance, _hamming_distance(space, vectors, bits), k, candidates, relaxed=relaxed
    )


def nearest_texts_per_query(
    space: EmbeddingSpace, vectors: Table, k: int, queries: CTE, candidates: int | None = None
) -> Select[Any]:
    """The same for each row of `queries`, to be joined laterally to it."""
    distance = distance_operator(space, vectors, space.distance)(queries.c.v).label("distance")
    texts = select(vectors.c.content_hash, distance).correlate(queries)
    bits = queries.c.bits if space.storage == "bit" else None
    return _first_by_distance(space, texts, distance, _hamming_distance(space, vectors, bits), k, candidates)


def _first_by_distance(
    space: EmbeddingSpace,
    texts: Select[Any],
    distance: ColumnElement[Any],
    hamming: ColumnElement[Any] | None,
    k: int,
    candidates: int | None,
    *,
    relaxed: bool = False,
) -> Select[Any]:
    """The first `k` rows that the index gives, by their exact distances."""
    # Numbers are written into the statement, not bound: one plan then serves all queries.
    if (space.method, space.storage) == ("hnsw", "vector") and not relaxed:
        return texts.order_by(distance).limit(literal_integer(k))
    index_order = distance if hamming is None else hamming
    first = lateral(texts.order_by(index_order).limit(literal_integer(max(k, candidates or k))), "candidates")
    # Adding zero makes it another expression than the index's, so that the planner sorts the rows again.
    return select(first).order_by(first.c.distance + 0.0).limit(literal_integer(k))


def distance_to_query(
    space: EmbeddingSpace, vectors: Table, query: CTE, distance: str | None = None
) -> ColumnElement[float]:
    """The exact distance of a stored vector to the query; `distance` None is the space's own."""
    apply = distance_operator(space, vectors, distance or space.distance)
    expression: ColumnElement[float] = apply(select(query.c.v).scalar_subquery())
    return expression


def distance_operator(space: EmbeddingSpace, vectors: Table, distance: str) -> Any:
    return comparable_vector(space, vectors.c.embedding).op(ALL_OPERATORS[distance], return_type=Float())


def select_query_vectors(
    space: EmbeddingSpace, number: ColumnElement[int], vector: ColumnElement[Any], *more: ColumnElement[Any]
) -> Select[Any]:
    """The vectors of many queries, each read once: (number, v, and `bits` for a binary-quantized index)."""
    vector = cast(vector, _vector_type(space))
    bits = [_binary_quantize(space, vector).label("bits")] if space.storage == "bit" else []
    return select(number.label("number"), vector.label("v"), *bits, *more)


def statement_settings(
    space: EmbeddingSpace, vectors: Table | None = None, candidates: int | None = None, *, relaxed: bool = False
) -> list[ColumnElement[str]]:
    """Columns that set the index's parameters for the current statement alone, whenever a row with them is read."""
    ef_search: ColumnElement[str] = bindparam("ef_search", type_=Text)
    if space.method == "ivfflat":
        # IVFFlat has no strict order; `_first_by_distance` sorts its rows.
        values = {
            "ivfflat.probes": _probes(space, vectors, ef_search),
            "ivfflat.iterative_scan": text_literal("relaxed_order"),
        }
    else:
        values = {
            "hnsw.ef_search": _candidates_of_part(space, ef_search, candidates),
            "hnsw.iterative_scan": text_literal("relaxed_order" if relaxed else "strict_order"),
            "hnsw.max_scan_tuples": bindparam("scan_tuples", type_=Text),
        }
    return [
        func.set_config(text_literal(name), value, true()).label(name.replace(".", "_"))
        for name, value in values.items()
    ]


def literal_integer(number: int) -> ColumnElement[int]:
    return literal_column(str(int(number)), Integer)


def materialize(cte: CTE) -> CTE:
    return cte.prefix_with("MATERIALIZED", dialect="postgresql")


def _candidates_of_part(
    space: EmbeddingSpace, ef_search: ColumnElement[str], candidates: int | None
) -> ColumnElement[str]:
    """The candidates that a graph keeps: those of the search or, in a space of several parts, a share of them.

    Where more are read from a part than it keeps, it goes on: a small share loses nothing but time.
    """
    if candidates is not None:
        kept = min(candidates, MAX_EF_SEARCH)
        # All candidates are read, and a part may have more than its share of them.
        share = kept if space.parts == 1 else math.ceil(SPARE_SHARE * kept / space.parts)
        return text_literal(str(min(kept, max(share, MIN_EF_SEARCH_OF_PART))))
    if space.parts == 1:
        return ef_search
    kept_by_all = cast(ef_search, Integer)
    return cast(func.greatest(kept_by_all // space.parts, func.least(kept_by_all, MIN_EF_SEARCH_OF_PART)), Text)


def _probes(space: EmbeddingSpace, vectors: Table | None, ef_search: ColumnElement[str]) -> ColumnElement[str]:
    """How many lists to probe, from the number of lists that the index has now: it may have been rebuilt."""
    indexes = table("pg_index", column("indexrelid"), column("indrelid"), column("indisvalid"), schema="pg_catalog")
    relations = table("pg_class", column("oid"), column("reloptions"), schema="pg_catalog")
    options = func.pg_options_to_table(relations.c.reloptions).table_valued("option_name", "option_value")
    lists = (
        select(func.max(cast(options.c.option_value, Float)))
        .select_from(indexes.join(relations, relations.c.oid == indexes.c.indexrelid).join(options, true()))
        .where(
            indexes.c.indrelid.in_([func.to_regclass(f"{SCHEMA}.{name}") for name in _indexed_tables(space, vectors)]),
            indexes.c.indisvalid,
            options.c.option_name == "lists",
        )
        .scalar_subquery()
    )
    probes = func.ceil(func.sqrt(lists) * cast(ef_search, Float) / EF_SEARCH_AT_ADVISED_PROBES)
    # pgvector allows no more than 32,768 lists.
    return cast(cast(func.least(func.coalesce(probes, 1.0), 32_768.0), Integer), Text)


def _indexed_tables(space: EmbeddingSpace, vectors: Table | None) -> list[str]:
    if vectors is None or vectors.name == partition_name(space.id):
        return table_names(space)
    return [vectors.name]


def _hamming_distance(space: EmbeddingSpace, vectors: Table, bits: Any) -> ColumnElement[Any] | None:
    if bits is None:
        return None
    return indexed_vector(space, vectors.c.embedding).op(_HAMMING_OPERATOR, return_type=Float())(bits)


def _binary_quantize(space: EmbeddingSpace, vector: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.binary_quantize(vector), BIT(space.dimensions))


def _vector_type(space: EmbeddingSpace) -> Any:
    return (HALFVEC if space.storage == "halfvec" else VECTOR)(space.dimensions)
