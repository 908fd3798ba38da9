"""Vector search: through the graph, or by comparing all rows that pass, whichever is expected to cost less."""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol, overload

from sqlalchemy import ColumnElement

from rag_assets.db.access.viewer import restricted_viewer
from rag_assets.db.connections.compiled import (
    NO_CLAUSES,
    Clauses,
    CompiledStatement,
    CompiledWithClauses,
    compile_statement,
    compile_with_clauses,
)
from rag_assets.db.connections.execute import StatementRunner, run_compiled
from rag_assets.db.index.knn import MAX_EF_SEARCH, MAX_SCAN_TUPLES, rescored_candidates, statement_values
from rag_assets.db.models import DocumentChunk, EmbeddingSpace
from rag_assets.db.spaces.vector_codec import PackedVector, PackedVectors
from rag_assets.search.filters.document_filters import NO_FILTERS
from rag_assets.search.vector.readable import select_readable
from rag_assets.search.vector.searchables import CHUNKS, Searchable
from rag_assets.search.vector.selectivity import SelectivityCache
from rag_assets.search.vector.statements import (
    RowsPerText,
    select_exactly,
    select_nearest,
    select_nearest_filtered,
    select_nearest_to_each,
)

# For vectors of length 1 these give the same order, and each can be computed from another.
_SAME_ORDER = {"cosine", "l2", "ip"}
_STEP = 50
# Of the deepest page, with as many copies.
_MOST_ROWS = 20_000


class RowFilters(Protocol):
    """Filters on the rows of a search."""

    @property
    def clauses(self) -> Clauses:
        """The conditions."""
        ...

    @property
    def key(self) -> Hashable:
        """Equal for equal filters; None where that is not known."""
        ...


@dataclass(frozen=True, slots=True)
class KnnQuery:
    """A nearest-neighbour search with every choice made; it goes whole from the executor to the SQL.

    `k`: rows wanted. `ef_search`: candidates that the graph keeps, at least `k`. `distance`: that of the result, which
    need not be the index's. `excluded`: further conditions, which nearly all rows meet. `rows_per_text`: see
    `search.vector.statements`.
    """

    space: EmbeddingSpace
    vector: PackedVector
    k: int
    ef_search: int
    distance: str
    exact: bool = False
    filters: RowFilters = NO_FILTERS
    excluded: Sequence[ColumnElement[bool]] = ()
    searchable: Searchable = CHUNKS
    rows_per_text: RowsPerText = "all"


@dataclass(frozen=True, slots=True)
class KnnResult:
    """Rows, nearest first: the distance, then the columns of the searchable.

    `plan` is `index` or `exact`; `considered` is the number of candidates or comparisons. `copies`: how many rows have
    the text of each, where the query asked for one of each.
    """

    rows: Sequence[tuple[Any, ...]]
    plan: str
    considered: int
    copies: Sequence[int] = ()


def search_nearest(connection: StatementRunner, query: KnnQuery, selectivity: SelectivityCache) -> KnnResult:
    """The `k` nearest rows that pass the filters: k come back whenever k pass."""
    space, k, searchable = query.space, query.k, query.searchable
    clauses = query.filters.clauses
    if query.excluded:
        clauses = Clauses([*clauses.clauses, *query.excluded])
    if query.exact or not _index_serves(query):
        return _compare(connection, query, clauses)
    candidates = rescored_candidates(space, k, query.ef_search)
    # Policies are a filter, too, which the statements need not repeat.
    if not clauses and not restricted_viewer(connection):
        unfiltered = _unfiltered(space, k, searchable, candidates, query.rows_per_text)
        result = _walk_graph(connection, query, unfiltered, clauses)
        if result is not None:
            return result
    # Without a filter: there are fewer than k rows, or vectors that no row has any more took their places.
    key = space.id, k, query.filters.key, restricted_viewer(connection)
    if not selectivity.is_broad(key):
        result = _compare(connection, query, clauses, selectivity.exact_limit(connection, space, k))
        if result is not None:
            return result
        if query.filters.key is not None:
            selectivity.note_broad(key)
    scan_tuples = selectivity.scan_tuples(connection, space, candidates or k)
    statement = (
        _filtered(space, k, searchable, clauses, candidates, query.rows_per_text)
        if clauses
        else _unfiltered(space, k, searchable, candidates, query.rows_per_text, by_policy=True)
    )
    return _walk_graph(connection, query, statement, clauses, scan_tuples) or _compare(connection, query, clauses)


def search_distinct(connection: StatementRunner, query: KnnQuery, selectivity: SelectivityCache) -> KnnResult:
    """The `k` nearest texts, each once: one row of each, or all their rows if those are no more than `k`.

    Most texts have one row, and picking the first of each costs time.
    """
    spare = query if query.rows_per_text == "spare" else replace(query, rows_per_text="spare")
    result = search_nearest(connection, spare, selectivity)
    if len(result.rows) <= query.k:
        return result
    return search_nearest(connection, replace(query, rows_per_text="one"), selectivity)


def search_nearest_to_each(connection: StatementRunner, queries: Sequence[KnnQuery]) -> list[KnnResult] | None:
    """The `k` nearest chunks to the vector of each query, in one statement; None where each needs its own.

    The queries differ in their vectors alone.
    """
    first = queries[0]
    space, k = first.space, first.k
    if first.filters.clauses or first.exact or restricted_viewer(connection) or not all(map(_index_serves, queries)):
        return None
    vectors = PackedVectors.of([query.vector for query in queries])
    values = statement_values("", first.ef_search) | {"queries": vectors}
    candidates = rescored_candidates(space, k, first.ef_search)
    statement = _unfiltered_to_each(space, k, candidates, first.rows_per_text)
    rows: list[list[tuple[Any, ...]]] = [[] for _ in queries]
    for row in run_compiled(connection, statement, values):
        rows[row[0] - 1].append(row[1:])
    if any(len(one) < k for one in rows):
        return None
    return [
        _result(one[: k + (query.rows_per_text == "spare")], query, "index", query.ef_search)
        for one, query in zip(rows, queries, strict=True)
    ]


def _walk_graph(
    connection: StatementRunner,
    query: KnnQuery,
    statement: CompiledWithClauses,
    clauses: Clauses,
    scan_tuples: int = MAX_SCAN_TUPLES,
) -> KnnResult | None:
    """None where the graph gives fewer than `k` rows."""
    values = statement_values(query.vector, query.ef_search, scan_tuples)
    rows = run_compiled(connection, statement.statement, statement.values(clauses, values))
    if len(rows) < query.k:
        return None
    return _result(rows, query, "index", query.ef_search)


def _result(rows: Sequence[tuple[Any, ...]], query: KnnQuery, plan: str, considered: int) -> KnnResult:
    """The result of rows as the index gives them."""
    copies: Sequence[int] = ()
    if query.rows_per_text == "one":
        copies = [row[-1] for row in rows]
        rows = [row[:-1] for row in rows]
    return KnnResult(_convert_distances(rows, query), plan, considered, copies)


@overload
def _compare(connection: StatementRunner, query: KnnQuery, clauses: Clauses) -> KnnResult: ...
@overload
def _compare(connection: StatementRunner, query: KnnQuery, clauses: Clauses, limit: int) -> KnnResult | None: ...


def _compare(
    connection: StatementRunner, query: KnnQuery, clauses: Clauses, limit: int | None = None
) -> KnnResult | None:
    """All rows that pass, compared exactly; None where more than `limit` pass."""
    if restricted_viewer(connection) and not clauses and query.searchable.table is DocumentChunk:
        statement = _readable(query.space, query.k, query.distance, query.searchable, limit, query.rows_per_text)
    else:
        statement = _exact(query.space, query.k, query.distance, query.searchable, clauses, limit, query.rows_per_text)
    values = statement.values(clauses, statement_values(query.vector, query.ef_search))
    found = run_compiled(connection, statement.statement, values)
    # There is no row at all once another space is live.
    *_, compared, qualifying = found[0] if found else (0, 0)
    if limit is not None and qualifying > limit:
        return None
    # A stored vector of zeros has no cosine (NaN), which sorts last.
    found = [row for row in found if row[0] is not None and not math.isnan(row[0])]
    if query.rows_per_text == "one":
        return KnnResult([row[:-3] for row in found], "exact", compared, [row[-3] for row in found])
    return KnnResult([row[:-2] for row in found], "exact", compared)


def deeper_queries(query: KnnQuery, reach: int) -> Iterator[KnnQuery]:
    """The searches that go on after the first `k` rows, each in the same order for every `reach`.

    First what the graph has kept anyway, then all rows compared exactly. What one of them has found again is skipped.
    """
    space = query.space
    in_strict_order = (space.method, space.storage) == ("hnsw", "vector") and not (query.filters.clauses or query.exact)
    if in_strict_order and _index_serves(query) and query.ef_search > query.k:
        yield replace(query, k=query.ef_search)
    # In steps, since each `k` is a statement of its own.
    most = MAX_EF_SEARCH if reach <= MAX_EF_SEARCH else _MOST_ROWS
    yield replace(query, k=min(most, -(-reach // _STEP) * _STEP), exact=True)
    yield replace(query, k=most, exact=True)


def _index_serves(query: KnnQuery) -> bool:
    """Whether the index's order is that of the query's distance."""
    space = query.space
    if query.distance == space.distance:
        return True
    # Squares of much longer or shorter vectors do not fit into the index's four-byte numbers.
    if not space.normalize or not {query.distance, space.distance} <= _SAME_ORDER:
        return False
    return 1e-10 < math.hypot(*query.vector.numbers()) < 1e10


def _convert_distances(rows: Sequence[tuple[Any, ...]], query: KnnQuery) -> Sequence[tuple[Any, ...]]:
    """The rows with the index's distances converted into the query's kind of distance."""
    known, wanted = query.space.distance, query.distance
    if known == wanted:
        return rows
    length = math.hypot(*query.vector.numbers())
    return [(_convert_distance(row[0], known, wanted, length), *row[1:]) for row in rows]


def _convert_distance(value: float, known: str, wanted: str, length: float) -> float:
    # For a stored b of length 1: |a - b|² = |a|² + 1 - 2 a·b, and a·b = |a| cos(a, b). The inner product distance is
    # -a·b.
    squares = length * length + 1
    product = {"cosine": (1 - value) * length, "ip": -value, "l2": (squares - value * value) / 2}[known]
    converted = {"cosine": 1 - product / length, "ip": -product, "l2": max(0.0, squares - 2 * product) ** 0.5}
    return float(converted[wanted])


# Building a statement takes longer than the search; one serves for all filters of the same form.
@lru_cache(maxsize=256)
def _unfiltered(
    space: EmbeddingSpace,
    k: int,
    searchable: Searchable,
    candidates: int | None,
    rows_per_text: RowsPerText,
    *,
    by_policy: bool = False,
) -> CompiledWithClauses:
    statement = select_nearest(space, k, searchable, candidates, rows_per_text=rows_per_text, by_policy=by_policy)
    return compile_with_clauses(statement, NO_CLAUSES)


@lru_cache(maxsize=256)
def _filtered(
    space: EmbeddingSpace,
    k: int,
    searchable: Searchable,
    clauses: Clauses,
    candidates: int | None,
    rows_per_text: RowsPerText,
) -> CompiledWithClauses:
    statement = select_nearest_filtered(space, k, clauses.clauses, searchable, candidates, rows_per_text=rows_per_text)
    return compile_with_clauses(statement, clauses)


@lru_cache(maxsize=256)
def _exact(
    space: EmbeddingSpace,
    k: int,
    distance: str,
    searchable: Searchable,
    clauses: Clauses,
    limit: int | None,
    rows_per_text: RowsPerText,
) -> CompiledWithClauses:
    statement = select_exactly(space, k, clauses.clauses, distance, searchable, limit, rows_per_text=rows_per_text)
    return compile_with_clauses(statement, clauses)


@lru_cache(maxsize=256)
def _readable(
    space: EmbeddingSpace,
    k: int,
    distance: str,
    searchable: Searchable,
    limit: int | None,
    rows_per_text: RowsPerText,
) -> CompiledWithClauses:
    statement = select_readable(space, k, distance, searchable, limit, rows_per_text=rows_per_text)
    return compile_with_clauses(statement, NO_CLAUSES)


@lru_cache(maxsize=256)
def _unfiltered_to_each(
    space: EmbeddingSpace, k: int, candidates: int | None, rows_per_text: RowsPerText
) -> CompiledStatement:
    return compile_statement(select_nearest_to_each(space, k, candidates, rows_per_text=rows_per_text))
