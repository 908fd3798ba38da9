"""One search in a space: candidates by meaning, by words or by both, best first."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import StatementRunner, run_compiled
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.vector_codec import AnyVector, PackedVector
from rag_assets.search.keyword.lexemes import analyze_query, exclusion_conditions
from rag_assets.search.keyword.search import search_keywords
from rag_assets.search.ranking.fusion import reciprocal_rank_fusion
from rag_assets.search.request import Request
from rag_assets.search.results import Hit
from rag_assets.search.vector.nearest import Nearest, nearest_rows, nearest_to_many
from rag_assets.search.vector.searchables import CHUNK_ID, CHUNK_IDS, CHUNKS, Subject
from rag_assets.search.vector.selectivity import Counts
from rag_assets.search.vector.statements import chunks_by_id

# How deep each of two rankings goes before they are fused.
FUSED_DEPTH = 50


# Of a score, what is shown.
DIGITS = 6


@dataclass(slots=True)
class Found:
    """Hits best first, whose ranks are not known yet, since some may be left out; the rest as in `Answer`."""

    hits: list[Hit]
    plan: str
    considered: int


def find_all(
    connection: StatementRunner,
    space: EmbeddingSpace,
    asked: Sequence[tuple[Request, PackedVector]],
    ef_search: int,
    counts: Counts,
) -> list[Found]:
    """What each request finds, in order; requests that differ in the question alone may share one statement."""
    if len(asked) > 1 and all(request.mode == "vector" for request, _ in asked):
        first, _ = asked[0]
        many = nearest_to_many(
            connection,
            space,
            [vector for _, vector in asked],
            k=first.deep,
            ef_search=ef_search,
            filters=first.filters,
            distance=first.distance,
            exact=first.exact,
        )
        if many is not None:
            return [kept(first, measured(space, first, nearest)) for nearest in many]
    return [find(connection, space, request, vector, ef_search, counts) for request, vector in asked]


def find(
    connection: StatementRunner,
    space: EmbeddingSpace,
    request: Request,
    vector: AnyVector,
    ef_search: int,
    counts: Counts,
) -> Found:
    """The `request.deep` best candidates of the space, in the mode that was asked for."""
    if request.mode == "vector":
        nearest = _nearest(connection, space, request, vector, ef_search, counts, request.deep)
        return kept(request, measured(space, request, nearest))
    # Of more than one statement, which are to see the same.
    assert isinstance(connection, Connection)
    if request.mode == "text":
        return kept(request, _by_words(connection, space, request, request.deep))
    return kept(request, _by_both(connection, space, request, vector, ef_search, counts))


def kept(request: Request, found: Found) -> Found:
    if request.min_score is not None:
        found.hits = [hit for hit in found.hits if hit.score >= request.min_score]
    return found


def _nearest(
    connection: StatementRunner,
    space: EmbeddingSpace,
    request: Request,
    vector: AnyVector,
    ef_search: int,
    counts: Counts,
    k: int,
    subject: Subject = CHUNKS,
    left_out: Sequence[ColumnElement[bool]] = (),
) -> Nearest:
    return nearest_rows(
        connection,
        space,
        vector,
        k=k,
        ef_search=ef_search,
        filters=request.filters,
        counts=counts,
        distance=request.distance,
        exact=request.exact,
        left_out=left_out,
        subject=subject,
    )


def measured(space: EmbeddingSpace, request: Request, nearest: Nearest) -> Found:
    pairs = zip(nearest.rows, scores(space, request, nearest), strict=True)
    return Found([_hit(row, score, {"vector": score}) for row, score in pairs], nearest.plan, nearest.considered)


def scores(space: EmbeddingSpace, request: Request, nearest: Nearest) -> list[float]:
    """Of each row, as it is shown: more is nearer."""
    most = 1 if (request.distance or space.distance) == "cosine" else 0
    return [round(most - row[0], DIGITS) for row in nearest.rows]


def _hit(row: Any, score: float, parts: dict[str, float]) -> Hit:
    # The fields of a hit after its score are those of a row after its distance, in their order.
    return Hit(0, score, *row[1:], parts)  # type: ignore[call-arg]


def _by_words(connection: Connection, space: EmbeddingSpace, request: Request, k: int) -> Found:
    asked = analyze_query(connection, space, request.text)
    worded = search_keywords(connection, space, asked, k=k, filters=request.filters)
    rows = _rows(connection, space, [id_ for id_, _ in worded.chunks])
    scored = [(id_, round(score, DIGITS)) for id_, score in worded.chunks if id_ in rows]
    return Found([_hit(rows[id_], score, {"text": score}) for id_, score in scored], "words", worded.considered)


def _by_both(
    connection: Connection, space: EmbeddingSpace, request: Request, vector: AnyVector, ef_search: int, counts: Counts
) -> Found:
    deep = max(request.deep, FUSED_DEPTH)
    asked = analyze_query(connection, space, request.text)
    # Of what is found by meaning and by words, ids alone: most of it is not shown.
    near = _nearest(connection, space, request, vector, ef_search, counts, deep, CHUNK_IDS, exclusion_conditions(asked))
    worded = search_keywords(connection, space, asked, k=deep, filters=request.filters)
    by_meaning = dict(zip([id_ for _, id_ in near.rows], scores(space, request, near), strict=True))
    by_words = dict(worded.chunks)
    fused = reciprocal_rank_fusion(
        [list(by_meaning), list(by_words)],
        lambda id_: id_,
        weights=request.weights,
        constant=request.rrf_constant,
    )
    # What only a ranking of weight 0 has is not found.
    best = [one for one in fused if one[0] > 0][: request.deep]
    rows = _rows(connection, space, [id_ for _, id_ in best])
    hits = []
    for fused_score, id_ in best:
        score = round(fused_score, DIGITS)
        parts = {"fused": score}
        if id_ in by_meaning:
            parts["vector"] = by_meaning[id_]
        if id_ in by_words:
            parts["text"] = round(by_words[id_], DIGITS)
        if id_ in rows:
            hits.append(_hit(rows[id_], score, parts))
    return Found(hits, f"{near.plan}, words", near.considered + worded.considered)


def _rows(connection: Connection, space: EmbeddingSpace, ids: Sequence[UUID]) -> dict[UUID, tuple[Any, ...]]:
    if not ids:
        return {}
    found = run_compiled(connection, _chunks_by_id(space), {"ids": list(ids)})
    return {row[CHUNK_ID]: row for row in found}


@lru_cache(maxsize=256)
def _chunks_by_id(space: EmbeddingSpace) -> CompiledStatement:
    return compile_statement(chunks_by_id(space))
