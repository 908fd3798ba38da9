"""Post-processing of hits: reranking, MMR, their copies, and the text around them."""

from collections.abc import Sequence

from sqlalchemy import Connection

from rag_assets.db.connections.execute import StatementRunner
from rag_assets.db.models import EmbeddingSpace
from rag_assets.errors import UsageError
from rag_assets.search.execution.copies import FoundCopies, add_copies
from rag_assets.search.execution.modes import SCORE_DIGITS
from rag_assets.search.ranking.mmr import diversify
from rag_assets.search.ranking.neighbours import ChunkContext, fetch_contexts
from rag_assets.search.ranking.rerank import Reranker, rerank
from rag_assets.search.request import SearchRequest
from rag_assets.search.results import Hit


def rerank_hits(reranker: Reranker | None, request: SearchRequest, hits: Sequence[Hit]) -> list[Hit]:
    """The first `rerank` hits in the reranker's order with its scores, then the others."""
    if reranker is None:
        raise UsageError(
            "no reranker is set; set RAG_ASSETS_RERANKER to a cross-encoder (its name on the hub, or a folder), "
            "or give the retriever one."
        )
    reranked = rerank(reranker, request.text, hits, text_of=lambda hit: hit.embedded_text, limit=request.rerank)
    for score, hit in reranked:
        if score is not None:
            hit.score = hit.parts["rerank"] = round(score, SCORE_DIGITS)
    return [hit for _, hit in reranked]


def complete_page(
    connection: StatementRunner,
    space: EmbeddingSpace,
    request: SearchRequest,
    hits: Sequence[Hit],
    copies: FoundCopies,
) -> list[Hit]:
    """The `k` hits from `offset` on, after MMR where it was asked for, each with its copies and its context."""
    chosen = list(hits)
    end = request.offset + request.k
    if request.mmr is not None:
        # A reranker's scores are on another scale than those of the hits that it did not score.
        scored = request.rerank or request.depth
        candidates = [(hit.score, hit) for hit in hits[:scored]]
        diverse = diversify(
            connection, space, candidates, k=end, balance=request.mmr, chunk_id=lambda hit: hit.chunk_id
        )
        chosen = [*(hit for _, hit in diverse), *hits[scored:]]
    chosen = chosen[request.offset : end]
    if copies:
        assert isinstance(connection, Connection)
        add_copies(connection, space, request.filters, chosen, copies)
    if request.context:
        found = fetch_contexts(connection, [hit.chunk_id for hit in chosen], request.context)
        for hit in chosen:
            hit.context = _context_of(hit, found.get(hit.chunk_id))
    return chosen


def _context_of(hit: Hit, context: ChunkContext | None) -> str:
    """The text around the hit, or the hit alone where its document has changed hands since it was found."""
    if context is None:
        return hit.text
    start = hit.char_start - context.char_start
    return context.text if context.text[start : start + len(hit.text)] == hit.text else hit.text
