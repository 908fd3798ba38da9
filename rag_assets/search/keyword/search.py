"""Search by words: BM25 over the lexemes of the chunks, in the database; a chunk is compared in its own language."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, select

from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.keyword.bm25 import top_chunks_by_index, top_chunks_of_documents
from rag_assets.search.keyword.lexemes import LanguageQuery

# Of about so many chunks the best are found, at least; of more where more are wanted, up to some number.
MIN_CANDIDATES = 1_000
CANDIDATES_PER_HIT = 20
MAX_CANDIDATES = 5_000
# Where fewer than so many of the candidates a hit pass a filter, so many times more are asked for.
WIDENING_FACTOR = 4
MIN_PASSING_PER_HIT = 3


@dataclass(frozen=True, slots=True)
class KeywordResult:
    """(chunk id, BM25 score), best first, and how many chunks were scored for it."""

    chunks: Sequence[tuple[UUID, float]]
    considered: int


def search_keywords(
    connection: Connection,
    space: EmbeddingSpace,
    asked: Sequence[LanguageQuery],
    *,
    k: int,
    filters: Filters | None = None,
) -> KeywordResult:
    """The `k` best chunks that share a word with the question, hold its "phrases" and none of its -words.

    Fewer only where fewer are such; none for a question of stop words. Equal scores are in the order of project, file
    and place. In a large corpus the candidates leave out chunks that share only its commoner words with a question.
    """
    asked = [one for one in asked if one.words]
    if not asked:
        return KeywordResult([], 0)
    filters = filters or Filters()
    most = max(MIN_CANDIDATES, min(CANDIDATES_PER_HIT * k, MAX_CANDIDATES), 3 * k)
    conditions = filters.conditions()
    mentions = sum(one.mentions for one in asked)
    enough = MIN_PASSING_PER_HIT * k if filters else k
    # To look which documents pass is quick for a project; for other filters only after a second round in vain.
    rounds_before_looking = 0 if filters.projects else 2 if filters else None
    found: dict[UUID, Any] = {}
    for number in count():
        if number == rounds_before_looking:
            documents = _matching_documents(connection, space, conditions, most)
            if documents is not None:
                return _top(top_chunks_of_documents(connection, asked, documents, k), k)
        rows = top_chunks_by_index(connection, asked, conditions, k, most)
        # What a round of wider and then bounded candidates leaves out, an earlier one may have found.
        found = {row.id: row for row in rows} | found
        if mentions <= most or (rows and rows[0].considered >= enough):
            break
        most *= WIDENING_FACTOR
    return _top(found.values(), k)


def _matching_documents(
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


def _top(rows: Collection[Any], k: int) -> KeywordResult:
    best = sorted(rows, key=lambda row: (-row.score, row.project, row.file_path, row.chunk_index))[:k]
    return KeywordResult([(row.id, float(row.score)) for row in best], max((row.considered for row in rows), default=0))
