"""Keyword search: BM25 over the lexemes of the chunks, in the database, each chunk in its own language."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Connection, Text, Uuid, cast, column, func, literal, select

from rag_assets.db.access.viewer import is_restricted
from rag_assets.db.connections.compiled import Clauses, CompiledWithClauses, compile_with_clauses
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.keyword.bm25 import top_chunks_by_index, top_chunks_of_documents, top_chunks_with_phrases
from rag_assets.search.keyword.lexemes import SAMPLED_CHUNKS, LanguageQuery

# About this many candidates are scored: CANDIDATES_PER_HIT for each hit wanted, within these bounds.
MIN_CANDIDATES = 1_000
CANDIDATES_PER_HIT = 20
MAX_CANDIDATES = 5_000
# When fewer than MIN_PASSING_PER_HIT candidates a hit pass a filter, the next round has WIDENING_FACTOR times as many.
WIDENING_FACTOR = 4
MIN_PASSING_PER_HIT = 3
# For a viewer who may read more chunks than its statistics are of: the condition is one for so many of these at first.
FIRST_SAMPLED = 2


@dataclass(frozen=True, slots=True)
class KeywordResult:
    """(chunk id, BM25 score), best first, and the number of chunks that were scored."""

    chunks: Sequence[tuple[UUID, float]]
    considered: int


def search_keywords(
    connection: Connection,
    space: EmbeddingSpace,
    queries: Sequence[LanguageQuery],
    *,
    k: int,
    filters: Filters | None = None,
) -> KeywordResult:
    """The `k` best chunks that share a term with the query, contain its phrases and none of its exclusions.

    Fewer only where fewer exist; none for a query of stop words, unless they are a phrase. Equal scores are sorted by
    project, file and position. In a large corpus, chunks that share only the more common terms with the query may not
    be scored.
    """
    filters = filters or Filters()
    with_terms = [query for query in queries if query.terms]
    of_stop_words = [query for query in queries if query.verbatim and not query.terms]
    result = KeywordResult([], 0)
    if with_terms:
        result = _search_terms(connection, space, with_terms, k, filters)
        if not result.chunks and any(query.preferred for query in with_terms):
            relaxed = [replace(query, preferred=None) for query in with_terms]
            result = _search_terms(connection, space, relaxed, k, filters)
    if of_stop_words and not result.chunks:
        rows = top_chunks_with_phrases(connection, of_stop_words, filters.conditions(), k, MAX_CANDIDATES)
        result = _top(rows, k)
    return result


def _search_terms(
    connection: Connection, space: EmbeddingSpace, queries: Sequence[LanguageQuery], k: int, filters: Filters
) -> KeywordResult:
    most = max(MIN_CANDIDATES, min(CANDIDATES_PER_HIT * k, MAX_CANDIDATES), 3 * k)
    max_matching = sum(query.max_matching_chunks for query in queries)
    enough = MIN_PASSING_PER_HIT * k if filters else k
    # Listing the documents that pass is fast for a project; for other filters it waits until two rounds found too few.
    # The documents of a viewer are listed as those of a project are, where they are few.
    restricted = is_restricted(connection)
    has_few_chunks = restricted and sum(query.chunks for query in queries) < SAMPLED_CHUNKS
    rounds_before_listing = 0 if filters.projects or has_few_chunks else 2 if filters else None
    if restricted and not has_few_chunks:
        # Of the sample, whose share of all that the viewer may read nobody counts: few at first, since each is one of
        # many.
        most, enough = FIRST_SAMPLED, MIN_PASSING_PER_HIT * k
    found: dict[UUID, Any] = {}
    for number in count():
        if number == rounds_before_listing:
            documents = _matching_documents(connection, space, filters.clauses, max(most, SAMPLED_CHUNKS))
            if documents is not None:
                return _top(top_chunks_of_documents(connection, queries, documents, k), k)
        rows = top_chunks_by_index(connection, queries, filters.clauses, k, most)
        # A wider round is bounded, too, and may leave out chunks that an earlier round found.
        found = {row.id: row for row in rows} | found
        if max_matching <= most or (rows and rows[0].considered >= enough):
            break
        most *= WIDENING_FACTOR
    return _top(found.values(), k)


def _matching_documents(
    connection: Connection, space: EmbeddingSpace, clauses: Clauses, most: int
) -> list[UUID] | None:
    """The documents that pass the filters; None where they have more than `most` chunks. Reads no more than that."""
    compiled = _compiled_documents(space.chunking, most, clauses, restricted=is_restricted(connection))
    rows = run_compiled(connection, compiled.statement, compiled.values(clauses, {}))
    return list(dict.fromkeys(document for (document,) in rows)) if len(rows) <= most else None


@lru_cache(maxsize=256)
def _compiled_documents(chunking: str, most: int, clauses: Clauses, *, restricted: bool) -> CompiledWithClauses:
    if restricted and not clauses:
        # Asked once for whom a document is, not for its chunks again.
        given = literal(chunking, Text), cast(literal(most + 1), BigInteger)
        readable = func.rag.readable_sample(*given).table_valued(column("document_id", Uuid), name="readable")
        return compile_with_clauses(select(readable.c.document_id), clauses)
    passing = (
        select(DocumentChunk.document_id)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(DocumentChunk.chunking == chunking, *clauses.clauses)
        .limit(most + 1)
    )
    return compile_with_clauses(passing, clauses)


def _top(rows: Collection[Any], k: int) -> KeywordResult:
    best = sorted(rows, key=lambda row: (-row.score, row.project, row.file_path, row.chunk_index))[:k]
    return KeywordResult([(row.id, float(row.score)) for row in best], max((row.considered for row in rows), default=0))
