"""The statements of search by words: candidates through an index or from a filter, BM25 of each, the best of them.

The formula is Okapi BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond"
(2009), with the never-negative idf of Lucene; the length of a chunk is its number of tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    Subquery,
    Text,
    Uuid,
    cast,
    func,
    literal,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, REGCONFIG, TSQUERY

from rag_assets.db.models import Document, DocumentChunk, Project
from rag_assets.search.candidates import Word, candidates

K1 = 1.2
B = 0.75

# An offset keeps the planner from merging a query into the one around it.
_FENCE: ColumnElement[int] = literal_column("0")
_MARK: ColumnElement[str] = literal_column("'A'")
_MARKED: ColumnElement[Any] = literal_column("'{a}'")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question in one of the languages that the chunks of a chunking are in, and the statistics of these chunks.

    `words` are in order, the rarest first; `phrases` and `excluded` are texts for `tsquery`.
    """

    chunking: str
    language: str
    chunks: int
    mean_tokens: float
    words: Sequence[Word]
    phrases: Sequence[str]
    excluded: Sequence[str]

    @property
    def mentions(self) -> int:
        """No fewer chunks than share a word with the question."""
        return sum(word.documents for word in self.words)


def best_through_index(
    asked: Sequence[Asked], conditions: Sequence[ColumnElement[bool]], k: int, most: int
) -> Select[Any]:
    """The best of about `most` candidates (all where they are no more) that meet the conditions."""
    return _best([_through_index(one, conditions, most) for one in asked], k)


def best_of_documents(asked: Sequence[Asked], documents: Sequence[UUID], k: int) -> Select[Any]:
    """The best of all chunks of these documents."""
    return _best([_of_documents(one, documents) for one in asked], k)


def _through_index(asked: Asked, conditions: Sequence[ColumnElement[bool]], most: int) -> Select[Any]:
    chosen = select(
        DocumentChunk.id,
        DocumentChunk.document_id,
        DocumentChunk.chunk_index,
        DocumentChunk.token_count,
        DocumentChunk.tsv,
    ).where(*_in_language(asked), DocumentChunk.tsv.op("@@")(_wanted(asked, most)))
    # The limit bounds the time where words are not strewn independently, or one alone is too common.
    found = chosen.limit(2 * most if asked.mentions > most else None).subquery("found")
    scored = select(found.c.id, found.c.document_id, found.c.chunk_index, _score(asked, found))
    if conditions:
        # Looked up for each candidate: the planner would rather evaluate the conditions for all documents.
        passing = (
            select(Document.id)
            .join(Project, Project.id == Document.project_id)
            .where(Document.id == found.c.document_id, *conditions)
            .offset(_FENCE)
            .lateral("passing")
        )
        scored = scored.join(passing, true())
    return scored


def _of_documents(asked: Asked, documents: Sequence[UUID]) -> Select[Any]:
    chunk = DocumentChunk.__table__
    return select(chunk.c.id, chunk.c.document_id, chunk.c.chunk_index, _score(asked, chunk)).where(
        *_in_language(asked),
        chunk.c.document_id == func.any(_array(documents, Uuid)),
        # The operator's function, which no index serves: the documents are the shorter way.
        func.ts_match_vq(chunk.c.tsv, _wanted(asked, asked.mentions)),
    )


def _in_language(asked: Asked) -> list[ColumnElement[bool]]:
    return [
        DocumentChunk.chunking == asked.chunking,
        DocumentChunk.language == cast(literal(asked.language), REGCONFIG),
    ]


def _wanted(asked: Asked, most: int) -> ColumnElement[Any]:
    parts = [candidates(asked.words, asked.chunks, most), *asked.phrases, *(f"!({one})" for one in asked.excluded)]
    return cast(literal(" & ".join(f"({part})" for part in parts), TSQUERY), TSQUERY)


def _score(asked: Asked, chunk: Any) -> ColumnElement[Any]:
    # Marking the question's lexemes in the tsvector and keeping only what is marked is done in C; to unnest all of
    # them would cost ten times that.
    lexemes = _array([word.lexeme for word in asked.words], Text)
    weights = _array([word.weight(asked.chunks) * (K1 + 1) for word in asked.words], Double)
    marked = func.setweight(chunk.c.tsv, _MARK, lexemes)
    shared = func.unnest(func.ts_filter(marked, _MARKED)).table_valued("lexeme", "positions").render_derived()
    length = _double(K1 * (1 - B)) + _double(K1 * B / asked.mean_tokens) * chunk.c.token_count
    times = cast(func.cardinality(shared.c.positions), Double)
    weight = weights[func.array_position(lexemes, shared.c.lexeme)]
    return select(func.sum(weight * times / (times + length))).select_from(shared).scalar_subquery().label("score")


def _best(parts: Sequence[Select[Any]], k: int) -> Select[Any]:
    """The `k` best (id, score, project, file_path, chunk_index), with the number of those that were scored."""
    # Scored before anything is sorted, so that only scores are held and not the tsvectors.
    fenced = [part.offset(_FENCE) for part in parts]
    scored: Subquery = (union_all(*fenced) if len(parts) > 1 else fenced[0]).subquery("scored")
    best = (
        select(scored, func.count().over().label("considered"))
        .order_by(scored.c.score.desc())
        .fetch(k, with_ties=True)
        .subquery("best")
    )
    return (
        select(
            best.c.id,
            best.c.score,
            Project.name.label("project"),
            Document.file_path,
            best.c.chunk_index,
            best.c.considered,
        )
        .join(Document, Document.id == best.c.document_id)
        .join(Project, Project.id == Document.project_id)
        .order_by(best.c.score.desc(), Project.name, Document.file_path, best.c.chunk_index)
        .limit(k)
    )


def _array(values: Sequence[Any], of: type[Any]) -> ColumnElement[Any]:
    return func.coalesce(literal(values, ARRAY(of)), type_=ARRAY(of))


def _double(value: float) -> ColumnElement[float]:
    return cast(literal(value, Double), Double)
