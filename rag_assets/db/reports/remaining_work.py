"""What is left to do in a space, and how long it will take as far as former runs tell."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from rag_assets.db.index.state import index_state
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.reports.throughput import embedding_work, index_amount, index_work, seconds_for
from rag_assets.db.spaces.pending import count_texts, pending_documents, pending_tokens

# Of a document that is not cut yet only the size is known. English has about four bytes to a token.
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Left:
    """Documents to cut, texts and tokens to embed; `tokens` counts those of the documents too, by their size.

    `seconds` is None where no run has used the model, or built such an index, yet.
    """

    documents: int
    texts: int
    tokens: int
    index: bool
    seconds: float | None


def work_left(connection: Connection, space: EmbeddingSpace) -> Left:
    documents = size_bytes = 0
    if space.kind == "chunks":
        pending = pending_documents(None, space.chunking).order_by(None).subquery()
        documents, size_bytes = connection.execute(
            select(func.count(), func.coalesce(func.sum(pending.c[1]), 0)).select_from(pending)
        ).one()
    texts, tokens = connection.execute(pending_tokens(space)).one()
    tokens += size_bytes // BYTES_PER_TOKEN
    seconds = seconds_for(connection, embedding_work(space.model, space.revision), tokens)
    index = not index_state(connection, space).serves
    if index:
        vectors = connection.scalar(count_texts(space)) or 0
        building = seconds_for(connection, index_work(space), index_amount(space, vectors))
        seconds = None if seconds is None or building is None else seconds + building
    return Left(documents, texts, int(tokens), index, None if seconds is None else round(seconds, 1))
