"""How an index is asked for the nearest texts: its settings, the order that it gives, and the exact look at that.

HNSW over whole vectors gives them in their exact order. An index of signs (`bit`) proposes candidates by how many signs
differ, and their true vectors decide; IVFFlat gives each further group of lists in an order of its own; and an index of
two-byte numbers has rounded them once more than the distance does.
"""

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
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.models.embeddings import DEFAULT_EF_SEARCH
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.vector_codec import AnyVector

# Distances that can be asked for, beside those that an index can be of.
ALL_OPERATORS = OPERATORS | {"l1": "<+>"}
# How many signs differ.
_HAMMING = "<~>"
# The graph is never walked for longer than this.
MOST_TUPLES = 100_000
MOST_EF_SEARCH = 1_000
# One number says of both methods how much a search may cost, and `rag-assets tune` finds it: where ef_search is what
# all begin with, IVFFlat looks into the square root of its lists, as pgvector advises.
EF_SEARCH_OF_ADVISED_PROBES = DEFAULT_EF_SEARCH


def candidates_of(space: EmbeddingSpace, k: int, ef_search: int) -> int | None:
    """How many of an index of signs are compared again by their true vectors; None where nothing needs to be."""
    return max(ef_search, k * space.oversampling) if space.storage == "bit" else None


def asked(
    space: EmbeddingSpace, vectors: Table | None = None, candidates: int | None = None, *, relaxed: bool = False
) -> CTE:
    """The question's vector, `v`, read once, which sets what the index goes by for this statement.

    An index goes on past its first candidates where a filter or duplicates ask for more.
    """
    # By way of pgvector's first type, which a packed vector is of whatever the space's own.
    vector = cast(cast(bindparam("query"), VECTOR()), _type(space))
    columns: list[ColumnElement[Any]] = [vector.label("v")]
    if space.storage == "bit":
        columns.append(_signs(space, vector).label("signs"))
    return materialized(select(*columns, *settings(space, vectors, candidates, relaxed=relaxed)).cte("asked"))


def graph_values(vector: AnyVector, ef_search: int) -> dict[str, Any]:
    """What `asked` is told, but for a filter that wants the graph left earlier."""
    return {"query": vector, "ef_search": str(ef_search), "scan_tuples": str(MOST_TUPLES)}


def nearest_texts(
    space: EmbeddingSpace,
    vectors: Table,
    k: int,
    *,
    candidates: int | None = None,
    qualifies: FromClause | None = None,
    conditions: Sequence[ColumnElement[bool]] = (),
) -> Select[Any]:
    """The `k` nearest distinct texts, through the index: (content_hash, distance); see `candidates_of`."""
    # Through a filter it goes far beyond its first candidates, and must not leave out what is near and comes late.
    relaxed = qualifies is not None
    question = asked(space, vectors, candidates, relaxed=relaxed)
    distance = distance_to(space, vectors, question).label("distance")
    found = select(vectors.c.content_hash, distance).where(*conditions)
    if qualifies is not None:
        found = found.join(qualifies, true())
    signs = select(question.c.signs).scalar_subquery() if space.storage == "bit" else None
    return in_order(space, found, distance, _hamming(space, vectors, signs), k, candidates, relaxed=relaxed)


def nearest_texts_to_each(
    space: EmbeddingSpace, vectors: Table, k: int, question: CTE, candidates: int | None = None
) -> Select[Any]:
    """The like for each row of a question that has many, to stand in a lateral join beside it."""
    distance = operator(space, vectors, space.distance)(question.c.v).label("distance")
    found = select(vectors.c.content_hash, distance).correlate(question)
    signs = question.c.signs if space.storage == "bit" else None
    return in_order(space, found, distance, _hamming(space, vectors, signs), k, candidates)


def in_order(
    space: EmbeddingSpace,
    found: Select[Any],
    distance: ColumnElement[Any],
    hamming: ColumnElement[Any] | None,
    k: int,
    candidates: int | None,
    *,
    relaxed: bool = False,
) -> Select[Any]:
    """The `k` first of what the index gives, by their true distances."""
    # Numbers are written out, not bound: a plan made once then serves every question.
    if (space.method, space.storage) == ("hnsw", "vector") and not relaxed:
        return found.order_by(distance).limit(written(k))
    order = distance if hamming is None else hamming
    seen = lateral(found.order_by(order).limit(written(max(k, candidates or k))), "candidates")
    # With something added it is another order than the index claims to give, and is sorted anew.
    return select(seen).order_by(seen.c.distance + 0.0).limit(written(k))


def distance_to(
    space: EmbeddingSpace, vectors: Table, question: CTE, distance: str | None = None
) -> ColumnElement[float]:
    """The true distance of a stored vector to the question; unless another is named, that of the space."""
    apart = operator(space, vectors, distance or space.distance)
    found: ColumnElement[float] = apart(select(question.c.v).scalar_subquery())
    return found


def operator(space: EmbeddingSpace, vectors: Table, distance: str) -> Any:
    return comparable_vector(space, vectors.c.embedding).op(ALL_OPERATORS[distance], return_type=Float())


def questions(
    space: EmbeddingSpace, number: ColumnElement[int], vector: ColumnElement[Any], *more: ColumnElement[Any]
) -> Select[Any]:
    """The vectors of many questions, read once each: (number, v, and the signs where the index is of them)."""
    vector = cast(vector, _type(space))
    signs = [_signs(space, vector).label("signs")] if space.storage == "bit" else []
    return select(number.label("number"), vector.label("v"), *signs, *more)


def settings(
    space: EmbeddingSpace, vectors: Table | None = None, candidates: int | None = None, *, relaxed: bool = False
) -> list[ColumnElement[str]]:
    """Set for this statement alone, each time that a question is read."""
    given: ColumnElement[str] = bindparam("ef_search", type_=Text)
    if space.method == "ivfflat":
        # Lists are known for their order within a group of them alone, which is put right afterwards.
        values = {
            "ivfflat.probes": _probes(space, vectors, given),
            "ivfflat.iterative_scan": text_literal("relaxed_order"),
        }
    else:
        values = {
            "hnsw.ef_search": given if candidates is None else text_literal(str(min(candidates, MOST_EF_SEARCH))),
            "hnsw.iterative_scan": text_literal("relaxed_order" if relaxed else "strict_order"),
            "hnsw.max_scan_tuples": bindparam("scan_tuples", type_=Text),
        }
    return [
        func.set_config(text_literal(name), value, true()).label(name.replace(".", "_"))
        for name, value in values.items()
    ]


def written(number: int) -> ColumnElement[int]:
    return literal_column(str(int(number)), Integer)


def materialized(cte: CTE) -> CTE:
    return cte.prefix_with("MATERIALIZED", dialect="postgresql")


def _probes(space: EmbeddingSpace, vectors: Table | None, ef_search: ColumnElement[str]) -> ColumnElement[str]:
    """How many lists are looked into, by how many the index really has: it may have been built since anybody looked."""
    indexes = table("pg_index", column("indexrelid"), column("indrelid"), column("indisvalid"), schema="pg_catalog")
    relations = table("pg_class", column("oid"), column("reloptions"), schema="pg_catalog")
    options = func.pg_options_to_table(relations.c.reloptions).table_valued("option_name", "option_value")
    lists = (
        select(func.max(cast(options.c.option_value, Float)))
        .select_from(indexes.join(relations, relations.c.oid == indexes.c.indexrelid).join(options, true()))
        .where(
            indexes.c.indrelid == func.to_regclass((partition(space.id) if vectors is None else vectors).fullname),
            indexes.c.indisvalid,
            options.c.option_name == "lists",
        )
        .scalar_subquery()
    )
    wanted = func.ceil(func.sqrt(lists) * cast(ef_search, Float) / EF_SEARCH_OF_ADVISED_PROBES)
    return cast(cast(func.least(func.coalesce(wanted, 1.0), 32_768.0), Integer), Text)


def _hamming(space: EmbeddingSpace, vectors: Table, signs: Any) -> ColumnElement[Any] | None:
    if signs is None:
        return None
    return indexed_vector(space, vectors.c.embedding).op(_HAMMING, return_type=Float())(signs)


def _signs(space: EmbeddingSpace, vector: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.binary_quantize(vector), BIT(space.dimensions))


def _type(space: EmbeddingSpace) -> Any:
    return (HALFVEC if space.storage == "halfvec" else VECTOR)(space.dimensions)
