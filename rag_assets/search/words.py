"""Search by words: BM25 over the lexemes of the chunks, in the database.

Candidates come through the GIN index (see candidates.py), and only they are scored. The formula is Okapi BM25 as in
Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the never-negative idf
of Lucene; the length of a chunk is its number of tokens. A chunk is compared with the question in its own language.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    cast,
    func,
    literal,
    literal_column,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY

from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.search.candidates import Word, candidates, quoted
from rag_assets.search.filters import Filters
from rag_assets.search.question import Question, parse

K1 = 1.2
B = 0.75
# About so many chunks are scored; a filter that leaves no more is answered by scoring all that it leaves.
MOST_CANDIDATES = 3_000
# Words beyond the rarest of a very long question change nothing but the time that it takes.
MOST_WORDS = 32
# Where candidates turn out too few, so many times more are asked for.
WIDER = 8

# ts_rank of a single lexeme with equal weights is (1 + 1/4 + 1/9 + ... + 1/n²) / 1.64493406685, for n occurrences;
# from that, n is worked out exactly up to the 256 that a tsvector keeps. Unnesting the tsvector costs ten times that.
_SUM_OF_ALL_SQUARES = 1.64493406685
_EQUAL_WEIGHTS: ColumnElement[Any] = literal_column("'{1,1,1,1}'::float4[]")

_READ_QUESTION = text(
    "SELECT s.language\\:\\:text AS language, s.chunks, s.mean_tokens, w.lexemes, w.documents, p.phrases, e.excluded, "
    # A question takes milliseconds: compiling its statement would take many times that.
    "set_config('jit', 'off', true) FROM rag.word_statistics s CROSS JOIN LATERAL ("
    "SELECT array_agg(q.lexeme ORDER BY coalesce(l.documents, 0), q.lexeme) AS lexemes, "
    "array_agg(coalesce(l.documents, 0) ORDER BY coalesce(l.documents, 0), q.lexeme) AS documents "
    "FROM unnest(tsvector_to_array(to_tsvector(s.language, rag.hyphenated(:words)))) AS q(lexeme) "
    "LEFT JOIN rag.lexemes l ON (l.chunking, l.language, l.lexeme) = (s.chunking, s.language, q.lexeme)) w "
    "CROSS JOIN LATERAL (SELECT array_agg(phraseto_tsquery(s.language, rag.hyphenated(f.phrase))\\:\\:text)  phrases "
    "FROM unnest(CAST(:phrases AS text[])) AS f(phrase)) p "
    "CROSS JOIN LATERAL (SELECT array_agg(phraseto_tsquery(s.language, rag.hyphenated(f.phrase))\\:\\:text)  excluded "
    "FROM unnest(CAST(:excluded AS text[])) AS f(phrase)) e "
    "WHERE s.chunking = :chunking"
)


@dataclass(frozen=True, slots=True)
class FoundByWords:
    """(chunk id, BM25 score), best first, and how many chunks were scored for it."""

    chunks: Sequence[tuple[UUID, float]]
    considered: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """The question in one of the languages that chunks are in."""

    language: str
    chunks: int
    mean_tokens: float
    words: Sequence[Word]
    phrases: Sequence[str]
    excluded: Sequence[str]

    def tsquery(self, most: int) -> tuple[str, bool]:
        wanted = candidates(self.words, self.chunks, most)
        rest = [f" & ({phrase})" for phrase in self.phrases] + [f" & !({phrase})" for phrase in self.excluded]
        return f"({wanted.tsquery}){''.join(rest)}", wanted.complete


def search_words(
    connection: Connection, space: EmbeddingSpace, question: str, *, k: int, filters: Filters | None = None
) -> FoundByWords:
    """The `k` best chunks that share a word with the question; none where all its words are excluded or too common."""
    asked = _read(connection, space, parse(question))
    if not asked:
        return FoundByWords([], 0)
    conditions = filters.conditions() if filters else []
    most = max(MOST_CANDIDATES, 3 * k)
    if conditions and _total(asked) > most and _few(connection, space, conditions, most):
        rows = connection.execute(_best(space, asked, conditions, k, most, few=True)[0]).all()
        return _found(rows)
    while True:
        statement, complete = _best(space, asked, conditions, k, most)
        found = _found(connection.execute(statement).all())
        if complete or len(found.chunks) >= k:
            return found
        most *= WIDER


def _read(connection: Connection, space: EmbeddingSpace, question: Question) -> list[_Asked]:
    values = {
        "words": question.words,
        "phrases": list(question.phrases),
        "excluded": list(question.excluded),
        "chunking": space.chunking,
    }
    return [
        _Asked(
            row.language,
            row.chunks,
            max(row.mean_tokens, 1.0),
            [Word(*pair) for pair in zip(row.lexemes, row.documents, strict=True)][:MOST_WORDS],
            [phrase for phrase in row.phrases or () if phrase],
            [phrase for phrase in row.excluded or () if phrase],
        )
        for row in connection.execute(_READ_QUESTION, values)
        if row.lexemes
    ]


def _total(asked: Sequence[_Asked]) -> int:
    return sum(word.documents for one in asked for word in one.words)


def _few(connection: Connection, space: EmbeddingSpace, conditions: Sequence[ColumnElement[bool]], most: int) -> bool:
    """Whether the filter leaves no more than so many chunks; counts no further than that."""
    passing = (
        select(DocumentChunk.id)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(DocumentChunk.chunking == space.chunking, *conditions)
        .limit(most + 1)
        .subquery()
    )
    return (connection.scalar(select(func.count()).select_from(passing)) or 0) <= most


def _best(
    space: EmbeddingSpace,
    asked: Sequence[_Asked],
    conditions: Sequence[ColumnElement[bool]],
    k: int,
    most: int,
    *,
    few: bool = False,
) -> tuple[Select[Any], bool]:
    """The statement, and whether it considers all that share a word with the question."""
    passing = None
    if few:
        passing = (
            select(Document.id)
            .join(Project, Project.id == Document.project_id)
            .where(*conditions)
            .cte("passing")
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )
    parts = []
    everything = True
    for one in asked:
        tsquery, complete = one.tsquery(2**31 if few else most)
        everything &= complete
        wanted = cast(literal(tsquery, TSQUERY), TSQUERY)
        part = select(DocumentChunk.id, DocumentChunk.document_id, DocumentChunk.chunk_index, _score(one)).where(
            DocumentChunk.chunking == space.chunking,
            DocumentChunk.language == cast(literal(one.language), REGCONFIG),
        )
        if passing is not None:
            # As a function, which no index serves: the way goes from the few documents.
            part = part.join(passing, passing.c.id == DocumentChunk.document_id)
            part = part.where(func.ts_match_vq(DocumentChunk.tsv, wanted))
        else:
            part = part.where(DocumentChunk.tsv.op("@@")(wanted)).limit(2 * most if not complete else None)
            if conditions:
                part = part.join(Document, Document.id == DocumentChunk.document_id)
                part = part.join(Project, Project.id == Document.project_id).where(*conditions)
        parts.append(part.subquery().select())
    scored = union_all(*parts).subquery("scored") if len(parts) > 1 else parts[0].subquery("scored")
    best = (
        select(scored, func.count().over().label("considered"))
        .order_by(scored.c.score.desc())
        .fetch(k, with_ties=True)
        .subquery("best")
    )
    return (
        select(best.c.id, best.c.score, best.c.considered)
        .join(Document, Document.id == best.c.document_id)
        .join(Project, Project.id == Document.project_id)
        .order_by(best.c.score.desc(), Project.name, Document.file_path, best.c.chunk_index)
        .limit(k)
    ), everything


def _score(asked: _Asked) -> ColumnElement[Any]:
    length = _double(K1) * (_double(1 - B) + _double(B) * DocumentChunk.token_count / _double(asked.mean_tokens))
    return sum((_term(word, asked.chunks, length) for word in asked.words), start=_double(0)).label("score")


def _term(word: Word, chunks: int, length: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of one word; the fraction is reduced by the number of its occurrences, which is worked out only once so."""
    lexeme = cast(literal(quoted(word.lexeme), TSQUERY), TSQUERY)
    rank = cast(func.ts_rank(_EQUAL_WEIGHTS, DocumentChunk.tsv, lexeme), Double)
    times = func.round(_double(1) / (_double(_SUM_OF_ALL_SQUARES) * (_double(1) - rank)) - _double(0.5), type_=Double)
    weight = _double(word.weight(chunks) * (K1 + 1))
    return func.coalesce(weight / (_double(1) + length / func.nullif(times, _double(0))), _double(0))


def _double(value: float) -> ColumnElement[float]:
    return cast(literal(value, Double), Double)


def _found(rows: Sequence[Any]) -> FoundByWords:
    return FoundByWords([(row.id, float(row.score)) for row in rows], rows[0].considered if rows else 0)
