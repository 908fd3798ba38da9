"""What comes after a search: a second look, fewer repetitions, the text around; then candidates are hits."""

import time
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection

from rag_assets.db.models import EmbeddingSpace
from rag_assets.errors import UsageError
from rag_assets.search.answers import Hit
from rag_assets.search.context import contexts
from rag_assets.search.diversity import diversify
from rag_assets.search.finding import Candidate
from rag_assets.search.reading import Reader
from rag_assets.search.request import Request
from rag_assets.search.rerank import Reranker, rerank
from rag_assets.search.waiting import Waiting


def reranked(
    waiting: Waiting, reranker: Reranker | None, request: Request, candidates: list[Candidate]
) -> tuple[list[Candidate], float]:
    """The candidates in the reranker's order, where one was asked for, and the milliseconds that it took."""
    if not request.rerank:
        return candidates, 0.0
    if reranker is None:
        raise UsageError(
            "no reranker is set; set RAG_ASSETS_RERANKER to a cross-encoder (its name on the hub, or a folder), "
            "or give the retriever one."
        )
    started = time.perf_counter()
    judged = waiting.run(
        rerank, reranker, request.text, candidates, text_of=lambda one: one.row.chunk_text, most=request.rerank
    )
    for score, one in judged:
        if score is not None:
            one.score = one.parts["rerank"] = score
    return [one for _, one in judged], (time.perf_counter() - started) * 1000


def finish(reader: Reader, space: EmbeddingSpace, request: Request, candidates: list[Candidate]) -> list[Hit]:
    """The k hits that are shown; another statement or two only for `mmr` and `context`."""
    around: Mapping[UUID, str] = {}
    if request.mmr is not None or request.context:

        def work(connection: Connection) -> tuple[list[Candidate], Mapping[UUID, str]]:
            chosen = _diverse(connection, space, request, candidates)[: request.k]
            return chosen, _around(connection, request, chosen)

        candidates, around = reader.read(work, timeout_s=request.timeout_s, transaction=True)
    return [_hit(rank, one, around) for rank, one in enumerate(candidates[: request.k], start=1)]


def _diverse(
    connection: Connection, space: EmbeddingSpace, request: Request, candidates: list[Candidate]
) -> list[Candidate]:
    if request.mmr is None:
        return candidates
    # The scores of a reranker are of another scale than those of the candidates that it was not asked for.
    judged = request.rerank or len(candidates)
    scored = [(one.score, one) for one in candidates[:judged]]
    diverse = diversify(
        connection, space, scored, k=request.k, balance=request.mmr, chunk_id=lambda one: one.row.chunk_id
    )
    return [*(one for _, one in diverse), *candidates[judged:]]


def _around(connection: Connection, request: Request, chosen: list[Candidate]) -> Mapping[UUID, str]:
    if not request.context:
        return {}
    found = contexts(connection, [one.row.chunk_id for one in chosen], request.context)
    return {id_: context.text for id_, context in found.items()}


def _hit(rank: int, one: Candidate, around: Mapping[UUID, str]) -> Hit:
    score = round(one.score, 6)
    if len(one.parts) == 1:
        # Mostly the score is made of one part, which is itself.
        parts = dict.fromkeys(one.parts, score)
    else:
        parts = {name: round(value, 6) for name, value in one.parts.items()}
    # The fields of a hit after its score are those of a row after its distance, in their order.
    return Hit(rank, score, *one.row[1:], parts, around.get(one.row.chunk_id) if around else None)
