"""Search by meaning: through the graph, or by comparing all that qualifies, whichever costs less by what is known."""

import json
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, Connection

from rag_assets.db.compiled import (
    Clauses,
    Compiled,
    Conditional,
    compile_conditional,
    compile_statement,
    run_compiled,
)
from rag_assets.db.models import EmbeddingSpace
from rag_assets.search import approximate, statements
from rag_assets.search.filters import Filters
from rag_assets.search.packed import AnyVector, PackedVector
from rag_assets.search.subjects import CHUNKS, Row, Subject

# The graph is left when it has looked at so many times the candidates that the filter's share lets expect.
PATIENCE = 20
FEWEST_TUPLES = 4_000
# A count decides how to search, never what is found, so it may be somewhat old.
COUNT_AGE_S = 60
COUNTS_KEPT = 1_000

# Vectors of length 1 are in the same order by each of these, and one follows from the other.
_SAME_ORDER = {"cosine", "l2", "ip"}


@dataclass(frozen=True, slots=True)
class Nearest:
    """Rows of the subject best first, by `plan` (index or exact), out of `considered` candidates or comparisons."""

    rows: Sequence[Any]
    plan: str
    considered: int

    @property
    def chunks(self) -> list[tuple[UUID, float]]:
        return [(row.chunk_id, row.distance) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows qualify, counted to just past `limit`: up to there, comparing all of them is cheaper."""

    qualifying: int
    limit: float
    vectors: float

    @property
    def is_small(self) -> bool:
        return self.qualifying <= self.limit

    def scan_tuples(self, k: int) -> int:
        expected = k * self.vectors / max(self.qualifying, 1)
        return int(min(approximate.MOST_TUPLES, max(FEWEST_TUPLES, PATIENCE * expected)))


class Conditions(Protocol):
    """Filters: their conditions, and a `repr` that is another one for other filters."""

    def conditions(self) -> list[ColumnElement[bool]]: ...


class Counts:
    """What was counted not long ago, by filter; bounded."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], tuple[float, Count]] = OrderedDict()

    def of(
        self, connection: Connection, space: EmbeddingSpace, filters: Conditions, k: int, subject: Subject = CHUNKS
    ) -> Count:
        key = (space.id, k, repr(filters))
        known = self._known.get(key)
        if known is not None and time.monotonic() - known[0] < COUNT_AGE_S:
            return known[1]
        clauses = Clauses(filters.conditions())
        [row] = _counting(space, k, subject, clauses).run(connection, clauses, {})
        # Without its table there are no vectors, which the search itself then says.
        count = Count(row[0], math.inf if row[1] is None else row[1], row[2] or 0.0)
        self._known[key] = (time.monotonic(), count)
        if len(self._known) > COUNTS_KEPT:
            self._known.popitem(last=False)
        return count


def nearest_rows(
    connection: Connection,
    space: EmbeddingSpace,
    vector: AnyVector,
    *,
    k: int,
    ef_search: int,
    filters: Conditions,
    counts: Counts,
    distance: str | None = None,
    exact: bool = False,
    left_out: Sequence[ColumnElement[bool]] = (),
    subject: Subject = CHUNKS,
) -> Nearest:
    """The `k` best rows that qualify: k come back whenever k qualify.

    `left_out` are more conditions, of a kind that nearly all rows meet.
    """
    conditions = [*filters.conditions(), *left_out]
    wanted = distance or space.distance
    length = _length(vector, space, wanted)
    values = approximate.graph_values(vector, ef_search)
    candidates = approximate.candidates_of(space, k, ef_search)
    if exact or not _served(space, wanted, length):
        return _exactly(connection, space, values, k, Clauses(conditions), wanted, subject)
    if not conditions:
        found = run_compiled(connection, _compiled_nearest(space, k, subject, candidates), values)
        rows = [subject.row._make(row) for row in found]
        if len(rows) == k:
            return Nearest(_expressed(rows, space, wanted, length), "index", ef_search)
        # There are no more than these, or vectors that nothing points to any more took the places of others.
    clauses = Clauses(conditions)
    count = counts.of(connection, space, filters, k, subject)
    if not count.is_small:
        values["scan_tuples"] = str(count.scan_tuples(candidates or k))
        filtered = _filtered(space, k, subject, clauses, candidates).run(connection, clauses, values)
        rows = [subject.row._make(row) for row in filtered]
        if len(rows) == k:
            return Nearest(_expressed(rows, space, wanted, length), "index", ef_search)
    return _exactly(connection, space, values, k, clauses, wanted, subject)


def nearest_to_many(
    connection: Connection,
    space: EmbeddingSpace,
    vectors: Sequence[AnyVector],
    *,
    k: int,
    ef_search: int,
    filters: Filters,
    distance: str | None = None,
    exact: bool = False,
) -> list[Nearest] | None:
    """The `k` best chunks for each vector in one statement; None where each must be asked by itself."""
    wanted = distance or space.distance
    lengths = [_length(vector, space, wanted) for vector in vectors]
    if filters or exact or not all(_served(space, wanted, length) for length in lengths):
        return None
    values = approximate.graph_values("", ef_search) | {"queries": [str(vector) for vector in vectors]}
    statement = statements.nearest_chunks_to_many(space, k, approximate.candidates_of(space, k, ef_search))
    found: list[list[Row]] = [[] for _ in vectors]
    for number, *row in connection.execute(statement, values):
        found[number - 1].append(Row._make(row))
    if any(len(rows) < k for rows in found):
        return None
    pairs = zip(found, lengths, strict=True)
    return [Nearest(_expressed(rows[:k], space, wanted, length), "index", ef_search) for rows, length in pairs]


def _exactly(
    connection: Connection,
    space: EmbeddingSpace,
    values: dict[str, Any],
    k: int,
    clauses: Clauses,
    distance: str,
    subject: Subject,
) -> Nearest:
    found = _exact(space, k, distance, subject, clauses).run(connection, clauses, values)
    # A stored vector of zeros has no cosine; it comes last.
    rows = [subject.row._make(row[:-1]) for row in found if not math.isnan(row[0])]
    return Nearest(rows, "exact", found[0][-1] if found else 0)


def _length(vector: AnyVector, space: EmbeddingSpace, distance: str) -> float:
    """Of the question's vector, where distances of one kind are turned into those of another by it."""
    if distance == space.distance:
        return 1.0
    return math.hypot(*(vector.numbers() if isinstance(vector, PackedVector) else json.loads(vector)))


def _served(space: EmbeddingSpace, distance: str, length: float) -> bool:
    """Whether the index gives the order of this distance."""
    if distance == space.distance:
        return True
    # The square of a much longer or shorter one is more, or less, than four bytes hold.
    return space.normalize and {distance, space.distance} <= _SAME_ORDER and 1e-10 < length < 1e10


def _expressed(rows: Sequence[Any], space: EmbeddingSpace, distance: str, length: float) -> Sequence[Any]:
    """Rows with the distances of the index turned into those that were asked for."""
    if distance == space.distance:
        return rows
    return [row._replace(distance=_turned(row.distance, space.distance, distance, length)) for row in rows]


def _turned(value: float, known: str, wanted: str, length: float) -> float:
    # For b of length 1: |a - b|² = |a|² + 1 - 2 a·b, and a·b = |a| cos, whose negative is the distance.
    squares = length * length + 1
    product = {"cosine": (1 - value) * length, "ip": -value, "l2": (squares - value * value) / 2}[known]
    turned = {"cosine": 1 - product / length, "ip": -product, "l2": max(0.0, squares - 2 * product) ** 0.5}
    return float(turned[wanted])


# Putting a statement together takes longer than the search; one serves for all filters of its shape.
@lru_cache(maxsize=256)
def _counting(space: EmbeddingSpace, k: int, subject: Subject, clauses: Clauses) -> Conditional:
    return compile_conditional(statements.count_qualifying(space, clauses.clauses, k, subject), clauses)


@lru_cache(maxsize=256)
def _filtered(space: EmbeddingSpace, k: int, subject: Subject, clauses: Clauses, candidates: int | None) -> Conditional:
    return compile_conditional(statements.nearest_filtered(space, k, clauses.clauses, subject, candidates), clauses)


@lru_cache(maxsize=256)
def _exact(space: EmbeddingSpace, k: int, distance: str, subject: Subject, clauses: Clauses) -> Conditional:
    return compile_conditional(statements.nearest_exactly(space, k, clauses.clauses, distance, subject), clauses)


@lru_cache(maxsize=256)
def _compiled_nearest(space: EmbeddingSpace, k: int, subject: Subject, candidates: int | None) -> Compiled:
    return compile_statement(statements.nearest_rows(space, k, subject, candidates))
