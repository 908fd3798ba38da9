"""The statements that searches send; checks and benchmarks send the very same ones.

Each is one round trip that needs no transaction around it: the parameters of the graph are set by the statement
itself, for itself alone, while it reads the question.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ARRAY,
    CTE,
    REAL,
    BindParameter,
    Cast,
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
    desc,
    func,
    lateral,
    literal_column,
    null,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import operators
from sqlalchemy.sql.visitors import replacement_traverse

from rag_assets.db.connections.compiled import text_literal
from rag_assets.db.index.knn import (
    asked,
    distance_to,
    materialized,
    nearest_texts,
    nearest_texts_to_each,
    operator,
    questions,
    settings,
    written,
)
from rag_assets.db.models import DocumentChunk, EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.search.vector.searchables import CHUNKS, CITED, Subject

_ONE = literal_column("1", Integer)


def nearest_rows(
    space: EmbeddingSpace, k: int, subject: Subject = CHUNKS, candidates: int | None = None
) -> Select[Any]:
    """The `k` best rows of all, through the index."""
    nearest = nearest_texts(space, partition(space.id), k, candidates=candidates)
    return rows_of(space, nearest.cte("nearest"), k, subject=subject)


def nearest_chunks_to_many(space: EmbeddingSpace, k: int, candidates: int | None = None) -> Select[Any]:
    """The `k` best chunks of all for each of `queries`, through the index: (number of the query from 1, row).

    Queries are one real[], a vector after the other.
    """
    vectors = partition(space.id)
    given = select(cast(bindparam("queries"), ARRAY(REAL)).label("packed")).subquery("given")
    size, first = written(space.dimensions), written(1)
    counted = func.generate_series(first, func.cardinality(given.c.packed, type_=Integer) // size, type_=Integer)
    numbers = counted.table_valued("number", name="numbers").render_derived()
    number = type_coerce(numbers.c.number, Integer)
    one = given.c.packed[(number - first) * size + first : number * size]
    asking = questions(space, number, cast(one, VECTOR()), *settings(space, vectors, candidates))
    asking = asking.select_from(given.join(numbers, true()))
    question = materialized(asking.cte("asked"))
    nearest = lateral(nearest_texts_to_each(space, vectors, k, question, candidates), "nearest")
    found = select(question.c.number, nearest.c.content_hash, nearest.c.distance).select_from(question)
    each = found.join(nearest, true()).cte("each")
    cited = rows_of(space, each, None)
    return cited.with_only_columns(each.c.number, *cited.selected_columns)


def exact_distances_to_many(space: EmbeddingSpace, table: Table, k: int) -> Select[int, float]:
    """(number of the query from 1, distance) of the `k` nearest texts to each of `queries`, compared with all.

    Queries are texts, as pgvector writes vectors.
    """
    texts = func.unnest(bindparam("queries", type_=ARRAY(Text)))
    given = texts.table_valued("text", with_ordinality="number", name="given").render_derived()
    # Read once a question, not once a comparison.
    question = materialized(questions(space, given.c.number, given.c.text).cte("questions"))
    # With something added, it is no longer the expression of the index.
    distance = (operator(space, table, space.distance)(question.c.v) + 0.0).label("distance")
    nearest = lateral(select(distance).order_by(distance).limit(written(k)), "nearest")
    return select(question.c.number, nearest.c.distance).select_from(question).join(nearest, true())


def nearest_filtered(
    space: EmbeddingSpace,
    k: int,
    conditions: Sequence[ColumnElement[bool]],
    subject: Subject = CHUNKS,
    candidates: int | None = None,
) -> Select[Any]:
    """The `k` best rows that qualify, through the index, which goes on until enough do or `scan_tuples` is reached.

    The question whether a text qualifies is asked of one candidate after the other, never of all texts at once.
    """
    table = partition(space.id)
    qualifying = (
        _joined(select(_ONE), space, conditions, subject)
        .where(subject.content_hash == table.c.content_hash)
        .limit(_ONE)
    )
    nearest = nearest_texts(space, table, k, candidates=candidates, qualifies=lateral(qualifying, "qualifying"))
    return rows_of(space, nearest.cte("nearest"), k, conditions, subject)


def nearest_exactly(
    space: EmbeddingSpace,
    k: int,
    conditions: Sequence[ColumnElement[bool]],
    distance: str | None = None,
    subject: Subject = CHUNKS,
    most: int | None = None,
) -> Select[Any]:
    """The `k` best rows that qualify, by comparing every one of their vectors: (row, compared, qualifying).

    Where more rows than `most` qualify, none is compared, and `qualifying` is more than that. There is a row for the
    two numbers whether there are others or not.
    """
    table, question = partition(space.id), asked(space)
    counting = conditions if most is None else [_unguessed(one) for one in conditions]
    texts = _joined(select(subject.content_hash), space, counting, subject)
    measured = select(table.c.content_hash, distance_to(space, table, question, distance).label("distance"))
    # With it the primary key is whole: one probe a text.
    measured = measured.where(table.c.space_id == written(space.id))
    qualifying: ColumnElement[Any] = null()
    if most is None:
        wanted = materialized(texts.distinct().cte("wanted"))
        measured = measured.join(wanted, wanted.c.content_hash == table.c.content_hash)
    else:
        counted = materialized(texts.limit(written(most + 1)).cte("counted"))
        total = materialized(select(func.count().label("rows")).select_from(counted).cte("total"))
        qualifying = select(total.c.rows).scalar_subquery()
        # In one array, each once: the index goes through them in their order.
        few = select(counted.c.content_hash).where(qualifying <= written(most)).scalar_subquery()
        measured = measured.where(table.c.content_hash == func.any(func.array(few)))
    # Materialized, so that the planner sorts these vectors and does not walk the graph past all the others.
    compared = materialized(measured.cte("compared"))
    numbers = select(
        select(func.count()).select_from(compared).scalar_subquery().label("compared"), qualifying.label("qualifying")
    ).cte("numbers")
    nearest = select(compared).order_by(compared.c.distance).limit(written(k)).cte("nearest")
    return rows_of(space, nearest, k, conditions, subject, beside=numbers)


def rows_of(
    space: EmbeddingSpace,
    nearest: CTE,
    k: int | None,
    conditions: Sequence[ColumnElement[bool]] = (),
    subject: Subject = CHUNKS,
    beside: CTE | None = None,
) -> Select[Any]:
    """The rows of the nearest texts, with all that is shown of them; equal texts in a stable order.

    With the columns of one row `beside` them, which is there also without any of them. Gives nothing once another
    space has become the live one: rows and vectors belong together.
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
    found: FromClause = nearest.join(rows, true())
    if beside is not None:
        found = beside.outerjoin(found, true())
    cited = (
        select(nearest.c.distance, *list(rows.c)[:shown], *(beside.c if beside is not None else ()))
        .select_from(found)
        .where(is_live(space))
        .order_by(nearest.c.distance, *(way(by) for by, (_, way) in zip(list(rows.c)[shown:], ordering, strict=True)))
    )
    return cited if k is None else cited.limit(written(k))


def chunks_by_id(space: EmbeddingSpace) -> Select[Any]:
    """The chunks with these `ids`, with what a citation needs and no distance."""
    chosen = DocumentChunk.id == func.any(bindparam("ids", type_=ARRAY(Uuid)))
    columns: Select[Any] = select(literal_column("0.0", Float).label("distance"), *CITED)
    return CHUNKS.shown_joins(CHUNKS.joins(columns.select_from(DocumentChunk))).where(chosen, is_live(space))


def is_live(space: EmbeddingSpace) -> ColumnElement[bool]:
    """True as long as searches are to use this space; asked once a statement.

    A space that was looked up before it is live, to be tried, is to be used until it is gone.
    """
    status = EmbeddingSpace.status
    live = status == text_literal("live")
    serves = live if space.status == "live" else or_(live, status == text_literal(space.status))
    return select(EmbeddingSpace.id).where(EmbeddingSpace.id == written(space.id), serves).exists()


def _unguessed(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same, with JSON that the planner does not look into.

    What it would learn, how many rows are likely to qualify, it would have to learn anew for each value, which takes
    longer than finding a few of them; so one plan, made once, serves for all.
    """

    def hidden(element: Any, **_: Any) -> Any:
        if isinstance(element, Cast) and isinstance(element.type, JSONB):
            return select(element).scalar_subquery()
        # What is left is copied, but for values: by them a filter's are found.
        return element if isinstance(element, BindParameter) else None

    found: ColumnElement[bool] = replacement_traverse(condition, {}, hidden)
    return found


def _joined(
    columns: Select[Any], space: EmbeddingSpace, conditions: Sequence[ColumnElement[bool]], subject: Subject
) -> Select[Any]:
    return subject.joins(columns.select_from(subject.table)).where(*conditions, subject.in_force(space))


def _direction(order: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The column that rows are ordered by, and which way."""
    if isinstance(order, UnaryExpression) and order.modifier is operators.desc_op:
        return order.element, desc
    return order, asc
