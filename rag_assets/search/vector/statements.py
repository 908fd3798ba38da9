"""The statements of vector search. Checks and benchmarks send the same ones.

Each is one round trip and needs no transaction: it sets the index's parameters itself, for itself alone, when it reads
the query's vector.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

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
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.sql import operators
from sqlalchemy.sql.visitors import replacement_traverse

from rag_assets.db.connections.compiled import text_literal
from rag_assets.db.index.knn import (
    distance_operator,
    distance_to_query,
    literal_integer,
    materialize,
    nearest_texts,
    nearest_texts_per_query,
    query_cte,
    select_query_vectors,
    statement_settings,
)
from rag_assets.db.models import DocumentChunk, EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.search.vector.searchables import CHUNKS, CITATION_COLUMNS, Searchable

# Which rows of the `k` nearest texts are returned: the first `k` of all; one more, which shows that texts have several
# rows; or the first of each text, with the number of its rows as a last column.
RowsPerText: TypeAlias = Literal["all", "spare", "one"]

_ZERO, _ONE = literal_column("0", Integer), literal_column("1", Integer)


def select_nearest(
    space: EmbeddingSpace,
    k: int,
    searchable: Searchable = CHUNKS,
    candidates: int | None = None,
    *,
    rows_per_text: RowsPerText = "all",
    by_policy: bool = False,
) -> Select[Any]:
    """The `k` nearest rows of all, through the index; `by_policy`: of those that policies show."""
    nearest = nearest_texts(space, partition(space.id), k, candidates=candidates, by_policy=by_policy)
    return select_text_rows(space, nearest.cte("nearest"), k, searchable=searchable, rows_per_text=rows_per_text)


def select_nearest_to_each(
    space: EmbeddingSpace, k: int, candidates: int | None = None, *, rows_per_text: RowsPerText = "all"
) -> Select[Any]:
    """The `k` nearest chunks of all to each of `queries`, through the index: (number of the query from 1, row).

    `queries` is one real[] with one vector after the other.
    """
    vectors = partition(space.id)
    given = select(cast(bindparam("queries"), ARRAY(REAL)).label("packed")).subquery("given")
    size, first = literal_integer(space.dimensions), literal_integer(1)
    count = func.generate_series(first, func.cardinality(given.c.packed, type_=Integer) // size, type_=Integer)
    numbers = count.table_valued("number", name="numbers").render_derived()
    number = type_coerce(numbers.c.number, Integer)
    slice_ = given.c.packed[(number - first) * size + first : number * size]
    settings = statement_settings(space, vectors, candidates)
    unpacked = select_query_vectors(space, number, cast(slice_, VECTOR()), *settings)
    queries = materialize(unpacked.select_from(given.join(numbers, true())).cte("queries"))
    nearest = lateral(nearest_texts_per_query(space, vectors, k, queries, candidates), "nearest")
    texts = select(queries.c.number, nearest.c.content_hash, nearest.c.distance).select_from(queries)
    each = texts.join(nearest, true()).cte("each")
    rows = select_text_rows(space, each, None, rows_per_text=rows_per_text)
    return rows.with_only_columns(each.c.number, *rows.selected_columns)


def select_exact_distances(space: EmbeddingSpace, table: Table, k: int) -> Select[int, float]:
    """(number of the query from 1, distance) of the `k` nearest texts to each of `queries`, without the index.

    `queries` are texts, as pgvector writes vectors.
    """
    texts = func.unnest(bindparam("queries", type_=ARRAY(Text)))
    given = texts.table_valued("text", with_ordinality="number", name="given").render_derived()
    # Parsed once for each query, not once for each comparison.
    queries = materialize(select_query_vectors(space, given.c.number, given.c.text).cte("queries"))
    # Adding zero makes it another expression than the index's.
    distance = (distance_operator(space, table, space.distance)(queries.c.v) + 0.0).label("distance")
    nearest = lateral(select(distance).order_by(distance).limit(literal_integer(k)), "nearest")
    return select(queries.c.number, nearest.c.distance).select_from(queries).join(nearest, true())


def select_nearest_filtered(
    space: EmbeddingSpace,
    k: int,
    conditions: Sequence[ColumnElement[bool]],
    searchable: Searchable = CHUNKS,
    candidates: int | None = None,
    *,
    rows_per_text: RowsPerText = "all",
) -> Select[Any]:
    """The `k` nearest rows that meet the conditions, through the index, which goes on until it has scanned
    `scan_tuples`.

    The conditions are evaluated for one candidate after the other, never for all texts at once.
    """
    table = partition(space.id)
    qualifying = (
        _join_tables(select(_ONE), space, conditions, searchable)
        .where(searchable.content_hash == table.c.content_hash)
        .limit(_ONE)
    )
    nearest = nearest_texts(space, table, k, candidates=candidates, qualifies=lateral(qualifying, "qualifying"))
    return select_text_rows(space, nearest.cte("nearest"), k, conditions, searchable, rows_per_text=rows_per_text)


def select_exactly(
    space: EmbeddingSpace,
    k: int,
    conditions: Sequence[ColumnElement[bool]],
    distance: str | None = None,
    searchable: Searchable = CHUNKS,
    limit: int | None = None,
    *,
    rows_per_text: RowsPerText = "all",
) -> Select[Any]:
    """The `k` nearest rows that meet the conditions, by comparing each of them: (row, compared, qualifying).

    Where more rows than `limit` qualify, none is compared, and `qualifying` is `limit` + 1. The two numbers come even
    where no row does.
    """
    table, query = partition(space.id), query_cte(space)
    counted_conditions = conditions if limit is None else [_hide_json(one) for one in conditions]
    texts = _join_tables(select(searchable.content_hash), space, counted_conditions, searchable)
    compared = select(table.c.content_hash, distance_to_query(space, table, query, distance).label("distance"))
    # Completes the primary key: one index probe for each text.
    compared = compared.where(table.c.space_id == literal_integer(space.id))
    qualifying: ColumnElement[Any] = null()
    if limit is None:
        wanted = materialize(texts.distinct().cte("wanted"))
        compared = compared.join(wanted, wanted.c.content_hash == table.c.content_hash)
    else:
        counted = materialize(texts.limit(literal_integer(limit + 1)).cte("counted"))
        total = materialize(select(func.count().label("rows")).select_from(counted).cte("total"))
        qualifying = select(total.c.rows).scalar_subquery()
        # One array: the index probes its distinct elements in their order.
        few = select(counted.c.content_hash).where(qualifying <= literal_integer(limit)).scalar_subquery()
        compared = compared.where(table.c.content_hash == func.any(func.array(few)))
    # Materialized, so that the planner sorts these vectors and does not walk the graph past all the others.
    distances = materialize(compared.cte("compared"))
    numbers = select(
        select(func.count()).select_from(distances).scalar_subquery().label("compared"), qualifying.label("qualifying")
    ).cte("numbers")
    # The same order for every `k`, also of texts at the same distance: pages follow each other.
    order = distances.c.distance, distances.c.content_hash
    nearest = select(distances).order_by(*order).limit(literal_integer(k)).cte("nearest")
    return select_text_rows(space, nearest, k, conditions, searchable, beside=numbers, rows_per_text=rows_per_text)


def select_chunks(space: EmbeddingSpace) -> Select[Any]:
    """The chunks with these `ids`: the columns of a citation, after a distance of 0."""
    chosen = DocumentChunk.id == func.any(bindparam("ids", type_=ARRAY(Uuid)))
    columns: Select[Any] = select(literal_column("0.0", Float).label("distance"), *CITATION_COLUMNS)
    return CHUNKS.column_joins(CHUNKS.joins(columns.select_from(DocumentChunk))).where(chosen, is_live(space))


def is_live(space: EmbeddingSpace) -> ColumnElement[bool]:
    """Whether searches are still to use this space; evaluated once per statement.

    A space that was looked up before it is live (to try it) is used until it is gone.
    """
    status = EmbeddingSpace.status
    live = status == text_literal("live")
    usable = live if space.status == "live" else or_(live, status == text_literal(space.status))
    return select(EmbeddingSpace.id).where(EmbeddingSpace.id == literal_integer(space.id), usable).exists()


def select_text_rows(
    space: EmbeddingSpace,
    nearest: CTE,
    k: int | None,
    conditions: Sequence[ColumnElement[bool]] = (),
    searchable: Searchable = CHUNKS,
    beside: CTE | None = None,
    *,
    rows_per_text: RowsPerText = "all",
) -> Select[Any]:
    """The rows of the nearest texts with the columns of the searchable; equal texts in a stable order.

    The columns of the one row of `beside` follow them, and come even where no text has a row. Returns nothing once
    another space is live, since rows and vectors must belong together.
    """
    column_count = len(searchable.columns)
    ordering = [_direction(one) for one in searchable.tie_order]
    columns: Any = select(*searchable.columns, *(by.label(f"order_{place}") for place, (by, _) in enumerate(ordering)))
    if rows_per_text == "one":
        columns = columns.add_columns(func.count().over().label("copies"))
    joined = searchable.column_joins(searchable.joins(columns.select_from(searchable.table)))
    joined = joined.where(searchable.content_hash == nearest.c.content_hash, searchable.is_current(space), *conditions)
    # An optimization fence, either way: rows are looked up for these few texts, not for all that qualify.
    fenced = joined.order_by(*searchable.tie_order).limit(_ONE) if rows_per_text == "one" else joined.offset(_ZERO)
    rows = lateral(fenced, "rows")
    copies = [rows.c.copies] if rows_per_text == "one" else []
    source: FromClause = nearest.join(rows, true())
    if beside is not None:
        source = beside.outerjoin(source, true())
    statement = (
        select(nearest.c.distance, *list(rows.c)[:column_count], *copies, *(beside.c if beside is not None else ()))
        .select_from(source)
        .where(is_live(space))
        .order_by(nearest.c.distance, *(way(rows.c[f"order_{place}"]) for place, (_, way) in enumerate(ordering)))
    )
    return statement if k is None else statement.limit(literal_integer(k + (rows_per_text == "spare")))


def _join_tables(
    columns: Select[Any], space: EmbeddingSpace, conditions: Sequence[ColumnElement[bool]], searchable: Searchable
) -> Select[Any]:
    return searchable.joins(columns.select_from(searchable.table)).where(*conditions, searchable.is_current(space))


def _hide_json(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same condition, with its JSON values hidden from the planner in subqueries.

    The planner would plan again for each value, to estimate how many rows pass. That takes longer than finding a few
    of them. With hidden values, one generic plan serves for all.
    """

    def hide(element: Any, **_: Any) -> Any:
        if isinstance(element, Cast) and isinstance(element.type, JSONB | JSONPATH):
            return select(element).scalar_subquery()
        # Other elements are copied. Bound values must stay the same objects: their names are looked up by them.
        return element if isinstance(element, BindParameter) else None

    hidden: ColumnElement[bool] = replacement_traverse(condition, {}, hide)
    return hidden


def _direction(order: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The column that rows are ordered by, and `asc` or `desc`."""
    if isinstance(order, UnaryExpression) and order.modifier is operators.desc_op:
        return order.element, desc
    return order, asc
