"""Vector search of a table that another package registers."""

import time
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
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
from rag_assets.search.execution.live_space import Live
from rag_assets.search.execution.modes import scores
from rag_assets.search.execution.query_embedding import Asking
from rag_assets.search.execution.read_session import Reader
from rag_assets.search.request import Query, Request, check_options, make_request
from rag_assets.search.vector.nearest import Nearest, nearest_rows
from rag_assets.search.vector.searchables import Subject
from rag_assets.search.vector.selectivity import Counts
from rag_assets.validation import format_value


class TableOptions(TypedDict, total=False):
    """How to search a registered table; all optional. Filters never cost hits: k are returned whenever k rows qualify.

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
    """The hits, best first, and how they were found: as in `Answer`."""

    query: str
    space: int
    hits: list[TableHit]
    took_ms: float
    embedding_ms: float
    plan: str
    considered: int
    ef_search: int | None


_SHARED = ("k", "min_score", "exact", "ef_search", "timeout_s")


@dataclass(frozen=True, slots=True)
class ColumnFilters:
    """The conditions of `where`; raises UsageError for an unknown column, or a value that it cannot have."""

    model: type[Any]
    where: Mapping[str, Any]

    def clauses(self) -> Clauses:
        return Clauses(list(self._conditions()))

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


def table_subject(kind: str) -> Subject:
    """The rows of a registered table, by their primary keys alone: the model loads the hits."""
    model: Any = load_table(kind)
    return _subject(kind, model)


@cache
def _subject(kind: str, model: Any) -> Subject:
    # Cached, since compiled statements are cached by it.
    texts = text_source_of_kind(kind)
    key = inspect(model).primary_key[0]
    return Subject(
        columns=(key,),
        table=model,
        content_hash=texts.content_hash,
        joins=lambda statement: statement,
        in_force=lambda _: texts.in_use,
        order=(key,),
    )


def search_table(
    kind: str,
    reader: Reader,
    asking: Asking,
    live: Live,
    counts: Counts,
    query: Query,
    options: TableOptions,
    *,
    ef_search: int | None = None,
) -> TableAnswer:
    """The rows nearest to a query. `ef_search` is the default for options without one, before that of the space."""
    check_options(f"a search of {kind}", options, TableOptions.__annotations__)
    shared: Any = {name: value for name, value in options.items() if name in _SHARED}
    request = make_request(query, shared | {"mode": "vector"})
    model, filters = load_table(kind), _filters(kind, options)

    def answer(space: EmbeddingSpace) -> TableAnswer:
        vector, embedding_ms = asking.vector(live, space, request)
        width = min(1000, max(request.k, request.ef_search or ef_search or space.ef_search))

        def search(connection: Connection) -> tuple[Nearest, list[TableHit]]:
            live.confirm(connection, space)
            nearest = nearest_rows(
                connection,
                space,
                vector,
                k=request.k,
                ef_search=width,
                filters=filters,
                counts=counts,
                exact=request.exact,
                subject=table_subject(kind),
            )
            return nearest, _hits(connection, model, space, request, nearest)

        started = time.perf_counter()
        nearest, hits = reader.read(search, timeout_s=request.timeout_s, transaction=True)
        return TableAnswer(
            query=request.text,
            space=space.id,
            hits=hits,
            took_ms=round((time.perf_counter() - started) * 1000, 2),
            embedding_ms=round(embedding_ms, 2),
            plan=nearest.plan,
            considered=nearest.considered,
            ef_search=width if nearest.plan == "index" else None,
        )

    return live.run(answer)


def _filters(kind: str, options: TableOptions) -> ColumnFilters:
    where = options.get("where") or {}
    if not isinstance(where, Mapping):
        raise UsageError(f"where is {format_value(where)}; give a mapping of columns to values.")
    filters = ColumnFilters(load_table(kind), where)
    # Reject wrong values before the query is embedded.
    filters.clauses()
    return filters


def _hits(
    connection: Connection, model: type[Any], space: EmbeddingSpace, request: Request, nearest: Nearest
) -> list[TableHit]:
    scored = zip(scores(space, request, nearest), nearest.rows, strict=True)
    kept = [(score, row[1]) for score, row in scored if request.min_score is None or score >= request.min_score]
    key = inspect(model).primary_key[0]
    with Session(bind=connection, expire_on_commit=False) as session:
        wanted = select(model).where(key.in_([id_ for _, id_ in kept]))
        rows = {inspect(row).identity[0]: row for row in session.scalars(wanted).unique()}
    # A row that was deleted between the two statements is left out.
    found = [(score, rows[id_]) for score, id_ in kept if id_ in rows]
    return [TableHit(rank, score, row.content, row) for rank, (score, row) in enumerate(found, start=1)]
