"""Search by words: BM25 over the lexemes of the chunks, in the database; a chunk is compared in its own language."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, select

from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.keyword.bm25 import best_of_documents, best_through_index
from rag_assets.search.keyword.lexemes import Asked

# Of about so many chunks the best are found, at least; of more where more are wanted, up to some number.
FEWEST_CANDIDATES = 1_000
CANDIDATES_PER_HIT = 20
MANY_CANDIDATES = 5_000
# Where fewer than so many of the candidates a hit pass a filter, so many times more are asked for.
WIDER = 4
ENOUGH_PASSING = 3


@dataclass(frozen=True, slots=True)
class FoundByWords:
    """(chunk id, BM25 score), best first, and how many chunks were scored for it."""

    chunks: Sequence[tuple[UUID, float]]
    considered: int


def search_words(
    connection: Connection, space: EmbeddingSpace, asked: Sequence[Asked], *, k: int, filters: Filters | None = None
) -> FoundByWords:
    """The `k` best chunks that share a word with the question, hold its "phrases" and none of its -words.

    Fewer only where fewer are such; none for a question of stop words. Equal scores are in the order of project, file
    and place. In a large corpus the candidates leave out chunks that share only its commoner words with a question.
    """
    asked = [one for one in asked if one.words]
    if not asked:
        return FoundByWords([], 0)
    filters = filters or Filters()
    most = max(FEWEST_CANDIDATES, min(CANDIDATES_PER_HIT * k, MANY_CANDIDATES), 3 * k)
    conditions = filters.conditions()
    mentions = sum(one.mentions for one in asked)
    enough = ENOUGH_PASSING * k if filters else k
    # To look which documents pass is quick for a project; for other filters only after a second round in vain.
    rounds_before_looking = 0 if filters.projects else 2 if filters else None
    found: dict[UUID, Any] = {}
    for number in count():
        if number == rounds_before_looking:
            documents = _few_documents(connection, space, conditions, most)
            if documents is not None:
                return _sorted(best_of_documents(connection, asked, documents, k), k)
        rows = best_through_index(connection, asked, conditions, k, most)
        # What a round of wider and then bounded candidates leaves out, an earlier one may have found.
        found = {row.id: row for row in rows} | found
        if mentions <= most or (rows and rows[0].considered >= enough):
            break
        most *= WIDER
    return _sorted(found.values(), k)


def _few_documents(
    connection: Connection, space: EmbeddingSpace, conditions: Sequence[ColumnElement[bool]], most: int
) -> list[UUID] | None:
    """The documents that pass the filters, where they have no more than so many chunks; looks no further than that."""
    passing = (
        select(DocumentChunk.document_id)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(DocumentChunk.chunking == space.chunking, *conditions)
        .limit(most + 1)
    )
    documents = connection.scalars(passing).all()
    return list(dict.fromkeys(documents)) if len(documents) <= most else None


def _sorted(rows: Collection[Any], k: int) -> FoundByWords:
    best = sorted(rows, key=lambda row: (-row.score, row.project, row.file_path, row.chunk_index))[:k]
    return FoundByWords([(row.id, float(row.score)) for row in best], max((row.considered for row in rows), default=0))
