"""The remaining work of a space, and an estimate of its time from the throughput of earlier runs."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from rag_assets.db.index.state import index_state
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.reports.throughput import embedding_work, estimate_seconds, index_amount, index_work
from rag_assets.db.spaces.pending import count_pending_tokens, count_texts, pending_documents, pending_staged_documents

# Of a document without chunks only the size is known. English has about four bytes per token.
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class RemainingWork:
    """Documents to split, texts and tokens to embed; `tokens` includes those of the documents, estimated by size.

    `index` says whether the index must be built. `seconds` is None if no run has used the model, or built such an
    index, yet.
    """

    documents: int
    texts: int
    tokens: int
    index: bool
    seconds: float | None


def remaining_work(connection: Connection, space: EmbeddingSpace) -> RemainingWork:
    documents = size_bytes = 0
    if space.kind == "chunks":
        for select_pending in (pending_documents, pending_staged_documents):
            pending = select_pending(None, space.chunking).order_by(None).subquery()
            number, bytes_ = connection.execute(
                select(func.count(), func.coalesce(func.sum(pending.c[1]), 0)).select_from(pending)
            ).one()
            documents, size_bytes = documents + number, size_bytes + bytes_
    texts, tokens = connection.execute(count_pending_tokens(space)).one()
    tokens += size_bytes // BYTES_PER_TOKEN
    seconds = estimate_seconds(connection, embedding_work(space.model, space.revision), tokens)
    index = not index_state(connection, space).serves
    if index:
        vectors = connection.scalar(count_texts(space)) or 0
        build_seconds = estimate_seconds(connection, index_work(space), index_amount(space, vectors))
        seconds = None if seconds is None or build_seconds is None else seconds + build_seconds
    return RemainingWork(documents, texts, int(tokens), index, None if seconds is None else round(seconds, 1))
