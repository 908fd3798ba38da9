"""What comes to hits after a search: a second look, fewer repetitions, the text around, their ranks."""

import time
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection

from rag_assets.db.models import EmbeddingSpace
from rag_assets.errors import UsageError
from rag_assets.search.execution.concurrency import Waiting
from rag_assets.search.execution.modes import DIGITS
from rag_assets.search.execution.read_session import Reader
from rag_assets.search.ranking.mmr import diversify
from rag_assets.search.ranking.neighbours import fetch_contexts
from rag_assets.search.ranking.rerank import Reranker, rerank
from rag_assets.search.request import Request
from rag_assets.search.results import Hit


def reranked(
    waiting: Waiting, reranker: Reranker | None, request: Request, candidates: list[Hit]
) -> tuple[list[Hit], float]:
    """The candidates in the reranker's order, where one was asked for, and the milliseconds that it took."""
    if not request.rerank:
        return candidates, 0.0
    if reranker is None:
        raise UsageError(
            "no reranker is set; set RAG_ASSETS_RERANKER to a cross-encoder (its name on the hub, or a folder), "
            "or give the retriever one."
        )
    started = time.perf_counter()
    judged = waiting.run(rerank, reranker, request.text, candidates, text_of=lambda hit: hit.text, limit=request.rerank)
    for score, hit in judged:
        if score is not None:
            hit.score = hit.parts["rerank"] = round(score, DIGITS)
    return [hit for _, hit in judged], (time.perf_counter() - started) * 1000


def finish(reader: Reader, space: EmbeddingSpace, request: Request, candidates: list[Hit]) -> list[Hit]:
    """The k hits that are shown; another statement or two only for `mmr` and `context`."""
    chosen = candidates[: request.k]
    if request.mmr is not None or request.context:

        def work(connection: Connection) -> tuple[list[Hit], Mapping[UUID, str]]:
            chosen = _diverse(connection, space, request, candidates)[: request.k]
            return chosen, _around(connection, request, chosen)

        chosen, around = reader.read(work, timeout_s=request.timeout_s, transaction=True)
        for hit in chosen:
            hit.context = around.get(hit.chunk_id)
    for rank, hit in enumerate(chosen, start=1):
        hit.rank = rank
    return chosen


def _diverse(connection: Connection, space: EmbeddingSpace, request: Request, candidates: list[Hit]) -> list[Hit]:
    if request.mmr is None:
        return candidates
    # The scores of a reranker are of another scale than those of the candidates that it was not asked for.
    judged = request.rerank or len(candidates)
    scored = [(hit.score, hit) for hit in candidates[:judged]]
    diverse = diversify(connection, space, scored, k=request.k, balance=request.mmr, chunk_id=lambda hit: hit.chunk_id)
    return [*(hit for _, hit in diverse), *candidates[judged:]]


def _around(connection: Connection, request: Request, chosen: list[Hit]) -> Mapping[UUID, str]:
    if not request.context:
        return {}
    found = fetch_contexts(connection, [hit.chunk_id for hit in chosen], request.context)
    return {id_: context.text for id_, context in found.items()}
