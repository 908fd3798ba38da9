"""The three modes of a search in one space: vector, text (keyword) and hybrid."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import StatementRunner, run_compiled
from rag_assets.db.models import EmbeddingSpace
from rag_assets.search.execution.copies import FoundCopies, drop_copies, merge_copies
from rag_assets.search.keyword.lexemes import exclusion_conditions
from rag_assets.search.keyword.word_search import WordSearch
from rag_assets.search.ranking.fusion import reciprocal_rank_fusion
from rag_assets.search.request import MAX_HITS, MAX_REACH, SearchRequest
from rag_assets.search.results import Hit
from rag_assets.search.vector.nearest import (
    KnnQuery,
    KnnResult,
    deeper_queries,
    search_distinct,
    search_nearest,
    search_nearest_to_each,
)
from rag_assets.search.vector.searchables import CHUNK_ID_POSITION, CHUNK_IDS
from rag_assets.search.vector.selectivity import SelectivityCache
from rag_assets.search.vector.statements import select_chunks
from rag_assets.tracing import Step

SCORE_DIGITS = 6
# After the first page, keyword search and both rankings of hybrid search go on to these depths.
TEXT_DEPTHS = (200, 1_000, 5_000, 20_000)
HYBRID_DEPTHS = (200, MAX_HITS, MAX_REACH)


@dataclass(slots=True)
class ModeResult:
    """Hits, best first, not ranked yet since some may be dropped; other fields as in `Answer`.

    `copies`: the hits that have copies, by chunk. `is_last`: no search can find more.
    """

    hits: list[Hit]
    plan: str
    considered: int
    copies: FoundCopies = field(default_factory=dict)
    is_last: bool = True
    excluded: Sequence[str] = ()
    corrected: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddedRequest:
    """A request, its vector search, which mode `text` does not have, and the milliseconds of its steps so far."""

    request: SearchRequest
    query: KnnQuery | None = None
    embedding_ms: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)


def search_in_mode(
    connection: StatementRunner, space: EmbeddingSpace, embedded: EmbeddedRequest, selectivity: SelectivityCache
) -> ModeResult:
    """The best hits in the request's mode, as many as it reaches."""
    request, query = embedded.request, embedded.query
    if request.mode == "vector" and query:
        return collect_hits(_search_vectors(connection, embedded, query, selectivity), request)
    # The other modes send several statements, in one transaction.
    assert isinstance(connection, Connection)
    if query:
        return collect_hits(_search_hybrid(connection, embedded, query, selectivity), request)
    return collect_hits(_search_text(connection, space, embedded), request)


def collect_hits(results: Iterable[ModeResult], request: SearchRequest) -> ModeResult:
    """The hits of these results, one after the other, each once, until the request's reach.

    The first result is that of the first page, and the next ones do not depend on the offset either: that is why pages
    follow each other. Distinct hits may need a further result, too.
    """
    hits: list[Hit] = []
    copies: dict[UUID, Sequence[UUID]] = {}
    plan, considered = "", 0
    excluded: Sequence[str] = ()
    corrected: Mapping[str, list[str]] = {}
    for result in results:
        if hits:
            seen = {hit.chunk_id for hit in hits}
            hits += [hit for hit in result.hits if hit.chunk_id not in seen]
        else:
            hits = list(result.hits)
        plan, considered = plan or result.plan, considered + result.considered
        excluded, corrected = result.excluded, result.corrected
        if result.copies:
            copies |= dict.fromkeys(result.copies.keys() - copies.keys(), ())
        if request.distinct:
            hits, dropped = drop_copies(hits)
            for id_, others in dropped.items():
                copies[id_] = [*copies.get(id_, ()), *others]
        if len(hits) >= request.reach or result.is_last:
            break
    return ModeResult(hits, plan, considered, copies, excluded=excluded, corrected=corrected)


def search_vectors(connection: StatementRunner, embedded: Sequence[EmbeddedRequest]) -> list[ModeResult] | None:
    """The results of vector searches in one statement; None where each needs its own.

    The requests differ in their vectors alone.
    """
    queries = [one.query for one in embedded if one.query and one.request.mode == "vector" and not one.request.offset]
    timings: dict[str, float] = {}
    with Step(timings, "vector"):
        results = search_nearest_to_each(connection, queries) if len(queries) == len(embedded) else None
    if results is None or any(len(result.rows) > query.k for query, result in zip(queries, results, strict=True)):
        return None
    found = [
        collect_hits([vector_hits(query, result)], one.request)
        for one, query, result in zip(embedded, queries, results, strict=True)
    ]
    for one in embedded:
        one.timings["vector"] = timings["vector"] / len(embedded)
    is_enough = all(len(one.hits) >= other.request.reach for one, other in zip(found, embedded, strict=True))
    return found if is_enough else None


def _search_vectors(
    connection: StatementRunner, embedded: EmbeddedRequest, query: KnnQuery, selectivity: SelectivityCache
) -> Iterator[ModeResult]:
    request = embedded.request
    search = search_distinct if request.distinct else search_nearest
    with Step(embedded.timings, "vector"):
        result = search(connection, query, selectivity)
    is_last = len(result.rows) < query.k
    yield vector_hits(query, result, is_last=is_last)
    for deeper in deeper_queries(query, request.reach):
        with Step(embedded.timings, "vector"):
            result = search(connection, deeper, selectivity)
        # The graph may miss some, so only a comparison of all rows tells that there are no more.
        yield vector_hits(deeper, result, is_last=result.plan == "exact" and len(result.rows) < deeper.k)


def _search_text(connection: Connection, space: EmbeddingSpace, embedded: EmbeddedRequest) -> Iterator[ModeResult]:
    request = embedded.request
    words = WordSearch(connection, space, request.text, request.operators, request.filters)
    # One more than is wanted shows whether the last one has a copy.
    first = request.depth + request.distinct
    for depth in (first, *(depth for depth in TEXT_DEPTHS if depth > first)):
        with Step(embedded.timings, "keyword"):
            found = words.search(depth)
        rows = _rows(connection, space, [id_ for id_, _ in found.chunks])
        scores = [(id_, round(score, SCORE_DIGITS)) for id_, score in found.chunks if id_ in rows]
        hits = [Hit(0, score, *rows[id_][1:], {"text": score}) for id_, score in scores]  # type: ignore[call-arg]
        is_last = len(found.chunks) < depth
        yield ModeResult(hits, "words", found.considered, {}, is_last, words.excluded, words.corrected)


def _search_hybrid(
    connection: Connection, embedded: EmbeddedRequest, query: KnnQuery, selectivity: SelectivityCache
) -> Iterator[ModeResult]:
    """Both rankings, fused by reciprocal rank."""
    space, request, timings = query.space, embedded.request, embedded.timings
    words = WordSearch(connection, space, request.text, request.operators, request.filters)
    search = search_distinct if request.distinct else search_nearest
    # Ids alone: most rows of the two rankings are not among the hits.
    query = replace(query, searchable=CHUNK_IDS, excluded=exclusion_conditions(words.queries))
    for depth in (query.k, *(depth for depth in HYBRID_DEPTHS if depth > query.k)):
        # The graph gives no more than MAX_HITS.
        is_exact = query.exact or depth > MAX_HITS
        deeper = replace(query, k=depth, ef_search=max(min(depth, MAX_HITS), query.ef_search), exact=is_exact)
        with Step(timings, "vector"):
            nearest = search(connection, deeper, selectivity)
        with Step(timings, "keyword"):
            found = words.search(depth)
        vector_scores = dict(zip([id_ for _, id_ in nearest.rows], similarity_scores(deeper, nearest), strict=True))
        copied = [id_ for (_, id_), rows in zip(nearest.rows, nearest.copies, strict=False) if rows > 1]
        text_scores = dict(found.chunks)
        if request.distinct:
            text_scores = merge_copies(connection, text_scores, copied)
        with Step(timings, "fuse"):
            fused = reciprocal_rank_fusion(
                [list(vector_scores.items()), list(text_scores.items())],
                lambda row: row[0],
                score=lambda row: round(row[1], SCORE_DIGITS),
                weights=request.weights,
                constant=request.rrf_constant,
            )
        vector_ranks = dict(zip(vector_scores, count(1), strict=False))
        text_ranks = dict(zip(text_scores, count(1), strict=False))
        # A chunk that only a ranking with weight 0 has scores 0, and is no hit.
        best = [(score, id_) for score, (id_, _) in fused if score > 0]
        is_last = len(nearest.rows) < depth and len(found.chunks) < depth
        considered = nearest.considered + found.considered
        # The rows of the others are read if the first are not enough.
        reach = request.reach + request.distinct
        for part in filter(None, (best[:reach], best[reach:])):
            rows = _rows(connection, space, [id_ for _, id_ in part])
            hits = []
            for fused_score, id_ in part:
                score = round(fused_score, SCORE_DIGITS)
                parts, ranks = {"fused": score}, {}
                if id_ in vector_scores:
                    parts["vector"], ranks["vector"] = vector_scores[id_], vector_ranks[id_]
                if id_ in text_scores:
                    parts["text"], ranks["text"] = round(text_scores[id_], SCORE_DIGITS), text_ranks[id_]
                if id_ in rows:
                    hit = Hit(0, score, *rows[id_][1:], parts)  # type: ignore[call-arg]
                    hit.ranks = ranks
                    hits.append(hit)
            is_end = is_last and part[-1] is best[-1]
            plan = f"{nearest.plan}, words"
            copies: FoundCopies = dict.fromkeys(copied, ())
            yield ModeResult(hits, plan, considered, copies, is_end, words.excluded, words.corrected)
            considered = 0
        if not best:
            yield ModeResult([], f"{nearest.plan}, words", considered, excluded=words.excluded)


def vector_hits(query: KnnQuery, result: KnnResult, *, is_last: bool = True) -> ModeResult:
    # A row's columns after its distance are a hit's fields after its score, in the same order.
    pairs = zip(result.rows, similarity_scores(query, result), strict=True)
    hits = [Hit(0, score, *row[1:], {"vector": score}) for row, score in pairs]  # type: ignore[call-arg]
    copied = {hit.chunk_id: () for hit, rows in zip(hits, result.copies, strict=False) if rows > 1}
    return ModeResult(hits, result.plan, result.considered, copied, is_last)


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
