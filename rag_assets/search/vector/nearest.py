"""Search by meaning: through the graph, or by comparing all that qualifies, whichever costs less by what is known."""

import json
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy import ColumnElement

from rag_assets.db.connections.compiled import (
    NO_CLAUSES,
    Clauses,
    CompiledStatement,
    CompiledWithClauses,
    compile_statement,
    compile_with_clauses,
)
from rag_assets.db.connections.execute import StatementRunner, run_compiled
from rag_assets.db.index import knn
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.vector_codec import AnyVector, PackedVector, PackedVectors
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.vector import statements
from rag_assets.search.vector.searchables import CHUNKS, Subject
from rag_assets.search.vector.selectivity import Counts

# Vectors of length 1 are in the same order by each of these, and one follows from the other.
_SAME_ORDER = {"cosine", "l2", "ip"}


@dataclass(frozen=True, slots=True)
class Nearest:
    """Rows best first, each its distance and then the subject's columns; by `plan` (index or exact), out of
    `considered` candidates or comparisons."""

    rows: Sequence[tuple[Any, ...]]
    plan: str
    considered: int


class Conditions(Protocol):
    """Filters: their conditions, and a `key` that is another one for other filters."""

    def clauses(self) -> Clauses: ...

    def key(self) -> Hashable: ...


def nearest_rows(
    connection: StatementRunner,
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
    clauses = Clauses([*filters.clauses().clauses, *left_out]) if left_out else filters.clauses()
    wanted = distance or space.distance
    length = _length(vector, space, wanted)
    values = knn.graph_values(vector, ef_search)
    candidates = knn.candidates_of(space, k, ef_search)

    def run(conditional: CompiledWithClauses) -> list[tuple[Any, ...]]:
        return run_compiled(connection, conditional.statement, conditional.values(clauses, values))

    def exactly(most: int | None = None) -> tuple[Nearest, bool]:
        return _compared(run(_exact(space, k, wanted, subject, clauses, most)), most)

    def along_graph(conditional: CompiledWithClauses) -> Nearest | None:
        rows = run(conditional)
        return Nearest(_expressed(rows, space, wanted, length), "index", ef_search) if len(rows) == k else None

    if exact or not _served(space, wanted, length):
        return exactly()[0]
    if not clauses and (found := along_graph(_unfiltered(space, k, subject, candidates))):
        return found
    # Without a filter: there are no more than these, or vectors that nothing points to any more took their places.
    key = space.id, k, filters.key()
    if not counts.are_many(key):
        nearest, are_all = exactly(counts.most_compared(connection, space, k))
        if are_all:
            return nearest
        counts.note_many(key)
    values["scan_tuples"] = str(counts.scan_tuples(connection, space, candidates or k))
    return along_graph(_filtered(space, k, subject, clauses, candidates)) or exactly()[0]


def nearest_to_many(
    connection: StatementRunner,
    space: EmbeddingSpace,
    vectors: Sequence[PackedVector],
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
    values = knn.graph_values("", ef_search) | {"queries": PackedVectors.of(vectors)}
    candidates = knn.candidates_of(space, k, ef_search)
    found: list[list[tuple[Any, ...]]] = [[] for _ in vectors]
    for row in run_compiled(connection, _to_many(space, k, candidates), values):
        found[row[0] - 1].append(row[1:])
    if any(len(rows) < k for rows in found):
        return None
    pairs = zip(found, lengths, strict=True)
    return [Nearest(_expressed(rows[:k], space, wanted, length), "index", ef_search) for rows, length in pairs]


def _compared(found: Sequence[tuple[Any, ...]], most: int | None) -> tuple[Nearest, bool]:
    """What comparing gave, and whether all that qualify were compared: not more than `most`."""
    # No row at all: another space has become the live one.
    *_, compared, qualifying = found[0] if found else (0, 0)
    # A stored vector of zeros has no cosine; it comes last.
    rows = [row[:-2] for row in found if row[0] is not None and not math.isnan(row[0])]
    return Nearest(rows, "exact", compared), most is None or qualifying <= most


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


def _expressed(
    rows: Sequence[tuple[Any, ...]], space: EmbeddingSpace, distance: str, length: float
) -> Sequence[tuple[Any, ...]]:
    """Rows with the distances of the index turned into those that were asked for."""
    if distance == space.distance:
        return rows
    return [(_turned(row[0], space.distance, distance, length), *row[1:]) for row in rows]


def _turned(value: float, known: str, wanted: str, length: float) -> float:
    # For b of length 1: |a - b|² = |a|² + 1 - 2 a·b, and a·b = |a| cos, whose negative is the distance.
    squares = length * length + 1
    product = {"cosine": (1 - value) * length, "ip": -value, "l2": (squares - value * value) / 2}[known]
    turned = {"cosine": 1 - product / length, "ip": -product, "l2": max(0.0, squares - 2 * product) ** 0.5}
    return float(turned[wanted])


# Putting a statement together takes longer than the search; one serves for all filters of its shape.
@lru_cache(maxsize=256)
def _unfiltered(space: EmbeddingSpace, k: int, subject: Subject, candidates: int | None) -> CompiledWithClauses:
    return compile_with_clauses(statements.nearest_rows(space, k, subject, candidates), NO_CLAUSES)


@lru_cache(maxsize=256)
def _filtered(
    space: EmbeddingSpace, k: int, subject: Subject, clauses: Clauses, candidates: int | None
) -> CompiledWithClauses:
    return compile_with_clauses(statements.nearest_filtered(space, k, clauses.clauses, subject, candidates), clauses)


@lru_cache(maxsize=256)
def _exact(
    space: EmbeddingSpace, k: int, distance: str, subject: Subject, clauses: Clauses, most: int | None
) -> CompiledWithClauses:
    return compile_with_clauses(statements.nearest_exactly(space, k, clauses.clauses, distance, subject, most), clauses)


@lru_cache(maxsize=256)
def _to_many(space: EmbeddingSpace, k: int, candidates: int | None) -> CompiledStatement:
    return compile_statement(statements.nearest_chunks_to_many(space, k, candidates))
