"""One search in a space: candidates by meaning, by words or by both, best first."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection

from rag_assets.db.models import EmbeddingSpace
from rag_assets.search.fusion import reciprocal_rank_fusion
from rag_assets.search.nearest import Counts, Nearest, nearest_rows, nearest_to_many
from rag_assets.search.request import Request
from rag_assets.search.statements import Row, chunks_by_id
from rag_assets.search.words import search_words

# How deep each of two rankings goes before they are fused.
FUSED_DEPTH = 100


@dataclass(slots=True)
class Candidate:
    """A row of a search with its score, and with what that is made of."""

    row: Row
    score: float
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """Candidates best first; `plan` and `considered` as in `Answer`."""

    candidates: list[Candidate]
    plan: str
    considered: int


def find_all(
    connection: Connection,
    space: EmbeddingSpace,
    requests: Sequence[Request],
    vectors: Sequence[str],
    ef_search: int,
    counts: Counts,
) -> list[Found]:
    """What each request finds, in order; requests that differ in the question alone may share one statement."""
    if len(requests) > 1 and all(request.mode == "vector" for request in requests):
        first = requests[0]
        many = nearest_to_many(
            connection,
            space,
            vectors,
            k=first.deep,
            ef_search=ef_search,
            filters=first.filters,
            distance=first.distance,
            exact=first.exact,
        )
        if many is not None:
            return [kept(first, measured(space, first, nearest)) for nearest in many]
    pairs = zip(requests, vectors, strict=True)
    return [find(connection, space, request, vector, ef_search, counts) for request, vector in pairs]


def find(
    connection: Connection, space: EmbeddingSpace, request: Request, vector: str, ef_search: int, counts: Counts
) -> Found:
    """The `request.deep` best candidates of the space, in the mode that was asked for."""
    if request.mode == "vector":
        found = _by_meaning(connection, space, request, vector, ef_search, counts, request.deep)
    elif request.mode == "text":
        found = _by_words(connection, space, request, request.deep)
    else:
        found = _by_both(connection, space, request, vector, ef_search, counts)
    return kept(request, found)


def kept(request: Request, found: Found) -> Found:
    if request.min_score is not None:
        found.candidates = [one for one in found.candidates if one.score >= request.min_score]
    return found


def _by_meaning(
    connection: Connection,
    space: EmbeddingSpace,
    request: Request,
    vector: str,
    ef_search: int,
    counts: Counts,
    k: int,
) -> Found:
    nearest = nearest_rows(
        connection,
        space,
        vector,
        k=k,
        ef_search=ef_search,
        filters=request.filters,
        counts=counts,
        distance=request.distance,
        exact=request.exact,
    )
    return measured(space, request, nearest)


def measured(space: EmbeddingSpace, request: Request, nearest: Nearest) -> Found:
    cosine = (request.distance or space.distance) == "cosine"
    scores = [1 - row.distance if cosine else -row.distance for row in nearest.rows]
    return Found(
        [Candidate(row, score, {"vector": score}) for row, score in zip(nearest.rows, scores, strict=True)],
        nearest.plan,
        nearest.considered,
    )


def _by_words(connection: Connection, space: EmbeddingSpace, request: Request, k: int) -> Found:
    worded = search_words(connection, space, request.text, k=k, filters=request.filters)
    rows = _rows(connection, space, [id_ for id_, _ in worded.chunks])
    candidates = [Candidate(rows[id_], score, {"text": score}) for id_, score in worded.chunks if id_ in rows]
    return Found(candidates, "words", worded.considered)


def _by_both(
    connection: Connection, space: EmbeddingSpace, request: Request, vector: str, ef_search: int, counts: Counts
) -> Found:
    deep = max(request.deep, FUSED_DEPTH)
    near = _by_meaning(connection, space, request, vector, ef_search, counts, deep)
    worded = search_words(connection, space, request.text, k=deep, filters=request.filters)
    by_meaning = {one.row.chunk_id: one for one in near.candidates}
    by_words = dict(worded.chunks)
    fused = reciprocal_rank_fusion(
        [list(by_meaning), list(by_words)], lambda id_: id_, weights=request.weights, constant=request.rrf_constant
    )
    # What only a ranking of weight 0 has is not found.
    best = [one for one in fused if one[0] > 0][: request.deep]
    rows = {id_: one.row for id_, one in by_meaning.items()}
    rows |= _rows(connection, space, [id_ for _, id_ in best if id_ not in rows])
    candidates = []
    for score, id_ in best:
        parts = {"fused": score}
        if id_ in by_meaning:
            parts["vector"] = by_meaning[id_].score
        if id_ in by_words:
            parts["text"] = by_words[id_]
        if id_ in rows:
            candidates.append(Candidate(rows[id_], score, parts))
    return Found(candidates, f"{near.plan}, words", near.considered + worded.considered)


def _rows(connection: Connection, space: EmbeddingSpace, ids: Sequence[UUID]) -> dict[UUID, Row]:
    if not ids:
        return {}
    found = connection.execute(chunks_by_id(space), {"ids": list(ids)})
    return {row.chunk_id: Row._make(row) for row in found}
