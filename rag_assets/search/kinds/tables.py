"""Vector search of a table that another package registers."""

import time
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypedDict

from sqlalchemy import ARRAY, ColumnElement, Connection, any_, inspect, literal, select
from sqlalchemy.orm import Session

from rag_assets.db.connections.compiled import Clauses
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.registered_tables import load_table
from rag_assets.db.spaces.text_kinds import text_source_of_kind
from rag_assets.errors import UsageError
from rag_assets.repositories.core.values import validate_value
from rag_assets.search.execution.executor import SearchContext
from rag_assets.search.execution.modes import similarity_scores
from rag_assets.search.request import Query, SearchRequest, check_options, make_request
from rag_assets.search.vector.nearest import KnnQuery, KnnResult, search_nearest
from rag_assets.search.vector.searchables import Searchable
from rag_assets.search.vector.selectivity import SelectivityCache
from rag_assets.validation import format_value


class TableOptions(TypedDict, total=False):
    """How to search a registered table; all optional. Filters never cost hits: k come back whenever k rows pass.

    - `k`, `min_score`, `exact`, `ef_search`, `timeout_s`: as in `Options`.
    - `where`: values by column, all of which a row must have: `{"author": "Ada"}`; a list allows any of its values.
    """

    k: int
    where: Mapping[str, Any] | None
    min_score: float | None
    exact: bool
    ef_search: int | None
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class TableHit:
    """One row of the table: an instance of its model with all columns loaded, detached from any session.

    A higher `score` is nearer, as in `Hit`.
    """

    rank: int
    score: float
    text: str
    row: Any


@dataclass(frozen=True, slots=True)
class TableAnswer:
    """The hits, best first, and how they were found; the fields are those of `Answer`."""

    query: str
    space: int
    hits: list[TableHit]
    took_ms: float
    embedding_ms: float
    plan: str
    considered: int
    ef_search: int | None


_REQUEST_OPTIONS = ("k", "min_score", "exact", "ef_search", "timeout_s")


@dataclass(frozen=True, slots=True)
class ColumnFilters:
    """The conditions of `where`; raises UsageError for an unknown column, or a value that it cannot have."""

    model: type[Any]
    where: Mapping[str, Any]
    clauses: Clauses = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clauses", Clauses(list(self._conditions())))

    @property
    def key(self) -> Hashable:
        return repr(sorted(self.where.items()))

    def _conditions(self) -> Iterator[ColumnElement[bool]]:
        columns = self.model.__table__.c
        for name, value in self.where.items():
            if name not in columns:
                raise UsageError(f"where has the column {name!r}; the table has {', '.join(columns.keys())}.")
            column = columns[name]
            if value is None:
                yield column.is_(None)
            elif isinstance(value, list | tuple | set | frozenset):
                values = [validate_value(column, one) for one in value]
                yield column == any_(literal(values, ARRAY(column.type)))
            else:
                yield column == literal(validate_value(column, value), column.type)


def table_searchable(kind: str) -> Searchable:
    """The rows of a registered table, by their primary keys alone: the model loads the hits."""
    model: Any = load_table(kind)
    return _searchable(kind, model)


@cache
def _searchable(kind: str, model: Any) -> Searchable:
    # Cached, since compiled statements are cached by it.
    texts = text_source_of_kind(kind)
    key = inspect(model).primary_key[0]
    return Searchable(
        columns=(key,),
        table=model,
        content_hash=texts.content_hash,
        joins=lambda statement: statement,
        is_current=lambda _: texts.in_use,
        tie_order=(key,),
    )


def search_table(context: SearchContext, kind: str, query: Query, options: TableOptions) -> TableAnswer:
    check_options(f"a search of {kind}", options, TableOptions.__annotations__)
    request_options: Any = {name: value for name, value in options.items() if name in _REQUEST_OPTIONS}
    request = make_request(query, request_options | {"mode": "vector"})
    where = options.get("where") or {}
    if not isinstance(where, Mapping):
        raise UsageError(f"where is {format_value(where)}; give a mapping of columns to values.")
    return context.live.run(_answer, context, request, kind, ColumnFilters(load_table(kind), where))


def _answer(
    space: EmbeddingSpace, context: SearchContext, request: SearchRequest, kind: str, filters: ColumnFilters
) -> TableAnswer:
    vector, embedding_ms = context.embedder.embed(space, request, context.live)
    knn = context.knn_query(space, request, vector, filters, table_searchable(kind))
    started = time.perf_counter()
    result, hits = context.live.read(
        space, _search, knn, filters.model, request.min_score, context.selectivity, timeout_s=request.timeout_s
    )
    took_ms = (time.perf_counter() - started) * 1000
    return TableAnswer(
        query=request.text,
        space=space.id,
        hits=hits,
        took_ms=round(took_ms, 2),
        embedding_ms=round(embedding_ms, 2),
        plan=result.plan,
        considered=result.considered,
        ef_search=knn.ef_search if result.plan == "index" else None,
    )


def _search(
    connection: Connection,
    _: EmbeddingSpace,
    knn: KnnQuery,
    model: type[Any],
    min_score: float | None,
    selectivity: SelectivityCache,
) -> tuple[KnnResult, list[TableHit]]:
    result = search_nearest(connection, knn, selectivity)
    scored = zip(similarity_scores(knn, result), result.rows, strict=True)
    chosen = [(score, row[1]) for score, row in scored if min_score is None or score >= min_score]
    key = inspect(model).primary_key[0]
    with Session(bind=connection, expire_on_commit=False) as session:
        models = select(model).where(key.in_([id_ for _, id_ in chosen]))
        rows = {inspect(row).identity[0]: row for row in session.scalars(models).unique()}
    # A row that was deleted between the two statements is left out.
    found = [(score, rows[id_]) for score, id_ in chosen if id_ in rows]
    return result, [TableHit(rank, score, row.content, row) for rank, (score, row) in enumerate(found, start=1)]
