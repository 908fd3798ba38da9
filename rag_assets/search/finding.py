"""One search in a space: candidates by meaning, by words or by both, best first."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

from sqlalchemy import Connection

from rag_assets.db.compiled import Compiled, compile_statement, run_compiled
from rag_assets.db.models import EmbeddingSpace
from rag_assets.search.counts import Counts
from rag_assets.search.fusion import reciprocal_rank_fusion
from rag_assets.search.nearest import Nearest, nearest_rows, nearest_to_many
from rag_assets.search.packed import AnyVector, PackedVector
from rag_assets.search.request import Request
from rag_assets.search.statements import chunks_by_id
from rag_assets.search.subjects import CHUNK_IDS, CHUNKS, Row, Subject
from rag_assets.search.words import search_words

# How deep each of two rankings goes before they are fused.
FUSED_DEPTH = 50


@dataclass(slots=True)
class Candidate:
    """A row of a search with its score, and with what that is made of."""

    row: Row
    score: float
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """Candidates best first; the rest as in `Answer`."""

    candidates: list[Candidate]
    plan: str
    considered: int


def find_all(
    connection: Connection,
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
    connection: Connection, space: EmbeddingSpace, request: Request, vector: AnyVector, ef_search: int, counts: Counts
) -> Found:
    """The `request.deep` best candidates of the space, in the mode that was asked for."""
    if request.mode == "vector":
        nearest = _nearest(connection, space, request, vector, ef_search, counts, request.deep)
        found = measured(space, request, nearest)
    elif request.mode == "text":
        found = _by_words(connection, space, request, request.deep)
    else:
        found = _by_both(connection, space, request, vector, ef_search, counts)
    return kept(request, found)


def kept(request: Request, found: Found) -> Found:
    if request.min_score is not None:
        found.candidates = [one for one in found.candidates if one.score >= request.min_score]
    return found


def _nearest(
    connection: Connection,
    space: EmbeddingSpace,
    request: Request,
    vector: AnyVector,
    ef_search: int,
    counts: Counts,
    k: int,
    subject: Subject = CHUNKS,
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
        subject=subject,
    )


def measured(space: EmbeddingSpace, request: Request, nearest: Nearest) -> Found:
    pairs = zip(nearest.rows, _scores(space, request, nearest), strict=True)
    candidates = [Candidate(row, score, {"vector": score}) for row, score in pairs]
    return Found(candidates, nearest.plan, nearest.considered)


def _scores(space: EmbeddingSpace, request: Request, nearest: Nearest) -> list[float]:
    cosine = (request.distance or space.distance) == "cosine"
    return [1 - row.distance if cosine else -row.distance for row in nearest.rows]


def _by_words(connection: Connection, space: EmbeddingSpace, request: Request, k: int) -> Found:
    worded = search_words(connection, space, request.text, k=k, filters=request.filters)
    rows = _rows(connection, space, [id_ for id_, _ in worded.chunks])
    candidates = [Candidate(rows[id_], score, {"text": score}) for id_, score in worded.chunks if id_ in rows]
    return Found(candidates, "words", worded.considered)


def _by_both(
    connection: Connection, space: EmbeddingSpace, request: Request, vector: AnyVector, ef_search: int, counts: Counts
) -> Found:
    deep = max(request.deep, FUSED_DEPTH)
    # Of what is found by meaning and by words, ids alone: most of it is not shown.
    near = _nearest(connection, space, request, vector, ef_search, counts, deep, CHUNK_IDS)
    worded = search_words(connection, space, request.text, k=deep, filters=request.filters)
    scores = dict(zip([row.chunk_id for row in near.rows], _scores(space, request, near), strict=True))
    by_words = dict(worded.chunks)
    fused = reciprocal_rank_fusion(
        [list(scores), list(by_words)],
        lambda id_: id_,
        weights=request.weights,
        constant=request.rrf_constant,
    )
    # What only a ranking of weight 0 has is not found.
    best = [one for one in fused if one[0] > 0][: request.deep]
    rows = _rows(connection, space, [id_ for _, id_ in best])
    candidates = []
    for score, id_ in best:
        parts = {"fused": score}
        if id_ in scores:
            parts["vector"] = scores[id_]
        if id_ in by_words:
            parts["text"] = by_words[id_]
        if id_ in rows:
            candidates.append(Candidate(rows[id_], score, parts))
    return Found(candidates, f"{near.plan}, words", near.considered + worded.considered)


def _rows(connection: Connection, space: EmbeddingSpace, ids: Sequence[UUID]) -> dict[UUID, Row]:
    if not ids:
        return {}
    found = map(Row._make, run_compiled(connection, _chunks_by_id(space), {"ids": list(ids)}))
    return {row.chunk_id: row for row in found}


@lru_cache(maxsize=256)
def _chunks_by_id(space: EmbeddingSpace) -> Compiled:
    return compile_statement(chunks_by_id(space))
