"""The statements that searches send; checks and benchmarks send the very same ones.

Each is one round trip that needs no transaction around it: the parameters of the graph are set by the statement
itself, for itself alone, while it reads the question.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Float,
    FromClause,
    Integer,
    Select,
    Table,
    Text,
    UnaryExpression,
    Uuid,
    asc,
    bindparam,
    cast,
    column,
    desc,
    func,
    lateral,
    literal,
    literal_column,
    select,
    table,
    true,
)
from sqlalchemy.sql import operators

from rag_assets.db.hnsw import OPERATORS
from rag_assets.db.models import DocumentChunk, EmbeddingSpace
from rag_assets.db.spaces import indexed, partition
from rag_assets.search.packed import AnyVector
from rag_assets.search.subjects import CHUNKS, CITED, Subject

# Distances that can be asked for, beside those that an index can be of.
ALL_OPERATORS = OPERATORS | {"l1": "<+>"}

# Up to here comparing all that qualifies takes no longer than a walk through the graph, whatever the filter.
ALWAYS_EXACTLY = 1_000
# A candidate of the graph, which must be asked whether it qualifies, costs about as much as four comparisons.
CANDIDATE_COST = 4
# The graph is never walked for longer than this.
MOST_TUPLES = 100_000

_ONE = literal_column("1", Integer)
_RELATIONS = table("pg_class", column("oid"), column("reltuples", Float), schema="pg_catalog")


def asked(space: EmbeddingSpace) -> CTE:
    """The question's vector, `v`, read once, which sets `ef_search` and `scan_tuples` for this statement.

    The graph goes on past its first ef_search candidates where a filter or duplicates ask for more.
    """
    return _materialized(
        select(
            # By way of pgvector's first type, which a packed vector is of whatever the space's own.
            cast(cast(bindparam("query"), VECTOR()), _type(space)).label("v"),
            *_settings(),
        ).cte("asked")
    )


def graph_values(vector: AnyVector, ef_search: int) -> dict[str, Any]:
    """What `asked` is told, but for a filter that wants the graph left earlier."""
    return {"query": vector, "ef_search": str(ef_search), "scan_tuples": str(MOST_TUPLES)}


def distance_to(
    space: EmbeddingSpace, table: Table, question: CTE, distance: str | None = None
) -> ColumnElement[float]:
    """The distance of a stored vector to the question; unless another is named, in the words that the index serves."""
    apart = _operator(space, table, distance or space.distance)
    compared: ColumnElement[float] = apart(select(question.c.v).scalar_subquery())
    return compared


def nearest_texts(space: EmbeddingSpace, table: Table, k: int, qualifies: FromClause | None = None) -> Select[Any]:
    """The `k` nearest distinct texts, through the graph: (content_hash, distance)."""
    distance = distance_to(space, table, asked(space)).label("distance")
    found = select(table.c.content_hash, distance)
    if qualifies is not None:
        found = found.join(qualifies, true())
    # The number is written out, not bound: a plan made once then serves every question.
    return found.order_by(distance).limit(_written(k))


def nearest_rows(space: EmbeddingSpace, k: int, subject: Subject = CHUNKS) -> Select[Any]:
    """The `k` best rows of all, through the graph."""
    return rows_of(space, nearest_texts(space, partition(space.id), k).cte("nearest"), k, subject=subject)


def nearest_chunks_to_many(space: EmbeddingSpace, k: int) -> Select[Any]:
    """The `k` best chunks of all for each of `queries`, through the graph: (number of the query from 1, row)."""
    vectors = partition(space.id)
    given = _queries()
    question = _materialized(
        select(given.c.number, cast(given.c.text, _type(space)).label("v"), *_settings()).cte("asked")
    )
    distance = _operator(space, vectors, space.distance)(question.c.v)
    nearest = lateral(
        select(vectors.c.content_hash, distance.label("distance")).order_by(distance).limit(_written(k)), "nearest"
    )
    found = select(question.c.number, nearest.c.content_hash, nearest.c.distance).select_from(question)
    each = found.join(nearest, true()).cte("each")
    cited = rows_of(space, each, None)
    return cited.with_only_columns(each.c.number, *cited.selected_columns)


def exact_distances_to_many(space: EmbeddingSpace, table: Table, k: int) -> Select[int, float]:
    """(number of the query from 1, distance) of the `k` nearest texts to each of `queries`, compared with all."""
    given = _queries()
    # Read once a question, not once a comparison.
    question = _materialized(select(given.c.number, cast(given.c.text, _type(space)).label("v")).cte("questions"))
    # With something added, it is no longer the expression of the index.
    distance = (_operator(space, table, space.distance)(question.c.v) + 0.0).label("distance")
    nearest = lateral(select(distance).order_by(distance).limit(_written(k)), "nearest")
    return select(question.c.number, nearest.c.distance).select_from(question).join(nearest, true())


def nearest_filtered(
    space: EmbeddingSpace, k: int, conditions: Sequence[ColumnElement[bool]], subject: Subject = CHUNKS
) -> Select[Any]:
    """The `k` best rows that qualify, through the graph, which goes on until enough do or `scan_tuples` is reached.

    The question whether a text qualifies is asked of one candidate after the other, never of all texts at once.
    """
    table = partition(space.id)
    qualifying = (
        _joined(select(_ONE), space, conditions, subject)
        .where(subject.content_hash == table.c.content_hash)
        .limit(_ONE)
    )
    nearest = nearest_texts(space, table, k, lateral(qualifying, "qualifying"))
    return rows_of(space, nearest.cte("nearest"), k, conditions, subject)


def nearest_exactly(
    space: EmbeddingSpace,
    k: int,
    conditions: Sequence[ColumnElement[bool]],
    distance: str | None = None,
    subject: Subject = CHUNKS,
) -> Select[Any]:
    """The `k` best rows that qualify, by comparing every one of their vectors; last, how many there were."""
    table, question = partition(space.id), asked(space)
    wanted = _materialized(_joined(select(subject.content_hash).distinct(), space, conditions, subject).cte("wanted"))
    # Materialized, so that the planner sorts these vectors and does not walk the graph past all the others.
    compared = _materialized(
        select(table.c.content_hash, distance_to(space, table, question, distance).label("distance"))
        # The whole primary key: one probe a text.
        .join(wanted, (wanted.c.content_hash == table.c.content_hash) & (table.c.space_id == space.id))
        .cte("compared")
    )
    nearest = select(compared).order_by(compared.c.distance).limit(_written(k))
    counted = select(func.count()).select_from(compared).scalar_subquery()
    return rows_of(space, nearest.cte("nearest"), k, conditions, subject).add_columns(counted)


def count_qualifying(
    space: EmbeddingSpace, conditions: Sequence[ColumnElement[bool]], k: int, subject: Subject = CHUNKS
) -> Select[Any]:
    """(rows that qualify, counted to just past the next; up to how many comparing all is cheaper; all vectors).

    Of `n` among `vectors`, the graph must look at about k * vectors / n candidates, the comparison at n.
    """
    vectors = (
        select(func.greatest(_RELATIONS.c.reltuples, 0.0).label("vectors"))
        .where(_RELATIONS.c.oid == func.to_regclass(partition(space.id).fullname))
        .cte("vectors")
    )
    limit = select(func.greatest(ALWAYS_EXACTLY, func.sqrt(CANDIDATE_COST * k * vectors.c.vectors))).scalar_subquery()
    qualifying = (
        _joined(select(subject.content_hash), space, conditions, subject).limit(cast(limit, Integer) + 1).subquery()
    )
    counted = select(func.count()).select_from(qualifying).scalar_subquery()
    return select(counted, limit, select(vectors.c.vectors).scalar_subquery())


def rows_of(
    space: EmbeddingSpace,
    nearest: CTE,
    k: int | None,
    conditions: Sequence[ColumnElement[bool]] = (),
    subject: Subject = CHUNKS,
) -> Select[Any]:
    """The rows of the nearest texts, with all that is shown of them; equal texts in a stable order.

    Gives nothing once another space has become the live one: rows and vectors belong together.
    """
    # Fenced by an offset: looked up for these few texts, and not for all that qualify.
    shown = len(subject.columns)
    ordering = [_direction(one) for one in subject.order]
    columns: Any = select(*subject.columns, *(by.label(f"order_{place}") for place, (by, _) in enumerate(ordering)))
    joined = subject.shown_joins(subject.joins(columns.select_from(subject.table)))
    rows = lateral(
        joined.where(subject.content_hash == nearest.c.content_hash, subject.in_force(space), *conditions).offset(
            literal_column("0", Integer)
        ),
        "rows",
    )
    found = (
        select(nearest.c.distance, *list(rows.c)[:shown])
        .select_from(nearest)
        .join(rows, true())
        .where(is_live(space))
        .order_by(nearest.c.distance, *(way(by) for by, (_, way) in zip(list(rows.c)[shown:], ordering, strict=True)))
    )
    return found if k is None else found.limit(_written(k))


def chunks_by_id(space: EmbeddingSpace) -> Select[Any]:
    """The chunks with these `ids`, with what a citation needs and no distance."""
    chosen = DocumentChunk.id == func.any(bindparam("ids", type_=ARRAY(Uuid)))
    columns: Select[Any] = select(literal_column("0.0", Float).label("distance"), *CITED)
    return CHUNKS.shown_joins(CHUNKS.joins(columns.select_from(DocumentChunk))).where(chosen, is_live(space))


def is_live(space: EmbeddingSpace) -> ColumnElement[bool]:
    """True as long as searches are to use this space; asked once a statement."""
    live = select(EmbeddingSpace.id).where(EmbeddingSpace.kind == space.kind, EmbeddingSpace.status == "live")
    return live.scalar_subquery() == space.id


def _joined(
    columns: Select[Any], space: EmbeddingSpace, conditions: Sequence[ColumnElement[bool]], subject: Subject
) -> Select[Any]:
    return subject.joins(columns.select_from(subject.table)).where(*conditions, subject.in_force(space))


def _direction(order: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The column that rows are ordered by, and which way."""
    if isinstance(order, UnaryExpression) and order.modifier is operators.desc_op:
        return order.element, desc
    return order, asc


def _queries() -> Any:
    texts = func.unnest(bindparam("queries", type_=ARRAY(Text)))
    return texts.table_valued("text", with_ordinality="number", name="given").render_derived()


def _operator(space: EmbeddingSpace, table: Table, distance: str) -> Any:
    return indexed(space, table.c.embedding).op(ALL_OPERATORS[distance], return_type=Float())


def _settings() -> list[ColumnElement[str]]:
    """Set for this statement alone, each time that a question is read."""
    settings: dict[str, ColumnElement[str]] = {
        "hnsw.ef_search": bindparam("ef_search", type_=Text),
        "hnsw.iterative_scan": literal("strict_order"),
        "hnsw.max_scan_tuples": bindparam("scan_tuples", type_=Text),
    }
    return [func.set_config(name, value, True).label(name.replace(".", "_")) for name, value in settings.items()]


def _type(space: EmbeddingSpace) -> Any:
    return (HALFVEC if space.storage == "halfvec" else VECTOR)(space.dimensions)


def _written(number: int) -> ColumnElement[int]:
    return literal_column(str(int(number)), Integer)


def _materialized(cte: CTE) -> CTE:
    return cte.prefix_with("MATERIALIZED", dialect="postgresql")
