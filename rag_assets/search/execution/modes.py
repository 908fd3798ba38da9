"""The three modes of a search in one space: vector, text (keyword) and hybrid."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import StatementRunner, run_compiled
from rag_assets.db.models import EmbeddingSpace
from rag_assets.search.keyword.lexemes import analyze_query, exclusion_conditions
from rag_assets.search.keyword.search import search_keywords
from rag_assets.search.ranking.fusion import reciprocal_rank_fusion
from rag_assets.search.request import SearchRequest
from rag_assets.search.results import Hit
from rag_assets.search.vector.nearest import KnnQuery, KnnResult, search_nearest, search_nearest_to_each
from rag_assets.search.vector.searchables import CHUNK_ID_POSITION, CHUNK_IDS
from rag_assets.search.vector.selectivity import SelectivityCache
from rag_assets.search.vector.statements import select_chunks

SCORE_DIGITS = 6


@dataclass(slots=True)
class ModeResult:
    """Hits, best first, not ranked yet since some may be dropped; `plan` and `considered` as in `Answer`."""

    hits: list[Hit]
    plan: str
    considered: int


@dataclass(frozen=True, slots=True)
class EmbeddedRequest:
    """A request and its vector search, which mode `text` does not have."""

    request: SearchRequest
    query: KnnQuery | None = None
    embedding_ms: float = 0.0


def search_in_mode(
    connection: StatementRunner, space: EmbeddingSpace, embedded: EmbeddedRequest, selectivity: SelectivityCache
) -> ModeResult:
    """The best hits in the request's mode, as many as the request's `depth`."""
    request, query = embedded.request, embedded.query
    if request.mode == "vector" and query:
        return vector_hits(query, search_nearest(connection, query, selectivity))
    # The other modes send several statements, in one transaction.
    assert isinstance(connection, Connection)
    if query:
        return _search_hybrid(connection, request, query, selectivity)
    return _search_text(connection, space, request)


def search_vectors(connection: StatementRunner, embedded: Sequence[EmbeddedRequest]) -> list[ModeResult] | None:
    """The results of vector searches in one statement; None where each needs its own.

    The requests differ in their vectors alone.
    """
    queries = [one.query for one in embedded if one.query and one.request.mode == "vector"]
    results = search_nearest_to_each(connection, queries) if len(queries) == len(embedded) else None
    return None if results is None else list(map(vector_hits, queries, results))


def _search_text(connection: Connection, space: EmbeddingSpace, request: SearchRequest) -> ModeResult:
    parsed = analyze_query(connection, space, request.text)
    found = search_keywords(connection, space, parsed, k=request.depth, filters=request.filters)
    rows = _rows(connection, space, [id_ for id_, _ in found.chunks])
    scores = [(id_, round(score, SCORE_DIGITS)) for id_, score in found.chunks if id_ in rows]
    hits = [Hit(0, score, *rows[id_][1:], {"text": score}) for id_, score in scores]  # type: ignore[call-arg]
    return ModeResult(hits, "words", found.considered)


def _search_hybrid(
    connection: Connection, request: SearchRequest, query: KnnQuery, selectivity: SelectivityCache
) -> ModeResult:
    """Both rankings, fused by reciprocal rank."""
    space = query.space
    parsed = analyze_query(connection, space, request.text)
    # Ids alone: most rows of the two rankings are not among the hits.
    query = replace(query, searchable=CHUNK_IDS, excluded=exclusion_conditions(parsed))
    nearest = search_nearest(connection, query, selectivity)
    found = search_keywords(connection, space, parsed, k=query.k, filters=request.filters)
    vector_scores = dict(zip([id_ for _, id_ in nearest.rows], similarity_scores(query, nearest), strict=True))
    text_scores = dict(found.chunks)
    fused = reciprocal_rank_fusion(
        [list(vector_scores), list(text_scores)],
        lambda id_: id_,
        weights=request.weights,
        constant=request.rrf_constant,
    )
    # A chunk that only a ranking with weight 0 has scores 0, and is no hit.
    best = [one for one in fused if one[0] > 0][: request.depth]
    rows = _rows(connection, space, [id_ for _, id_ in best])
    hits = []
    for fused_score, id_ in best:
        score = round(fused_score, SCORE_DIGITS)
        parts = {"fused": score}
        if id_ in vector_scores:
            parts["vector"] = vector_scores[id_]
        if id_ in text_scores:
            parts["text"] = round(text_scores[id_], SCORE_DIGITS)
        if id_ in rows:
            hits.append(Hit(0, score, *rows[id_][1:], parts))  # type: ignore[call-arg]
    return ModeResult(hits, f"{nearest.plan}, words", nearest.considered + found.considered)


def vector_hits(query: KnnQuery, result: KnnResult) -> ModeResult:
    # A row's columns after its distance are a hit's fields after its score, in the same order.
    pairs = zip(result.rows, similarity_scores(query, result), strict=True)
    hits = [Hit(0, score, *row[1:], {"vector": score}) for row, score in pairs]  # type: ignore[call-arg]
    return ModeResult(hits, result.plan, result.considered)


def similarity_scores(query: KnnQuery, result: KnnResult) -> list[float]:
    """The score of each row: higher is nearer."""
    largest = 1 if query.distance == "cosine" else 0
    return [round(largest - row[0], SCORE_DIGITS) for row in result.rows]


def _rows(connection: Connection, space: EmbeddingSpace, ids: Sequence[UUID]) -> dict[UUID, tuple[Any, ...]]:
    if not ids:
        return {}
    rows = run_compiled(connection, _compiled_chunks(space), {"ids": list(ids)})
    return {row[CHUNK_ID_POSITION]: row for row in rows}


@lru_cache(maxsize=256)
def _compiled_chunks(space: EmbeddingSpace) -> CompiledStatement:
    return compile_statement(select_chunks(space))
