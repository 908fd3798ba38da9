"""Search by words: BM25 over the lexemes of the chunks, in the database; a chunk is compared in its own language."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, literal, not_, or_, select, text
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY

from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.search.bm25 import Asked, best_of_documents, best_through_index
from rag_assets.search.candidates import Word
from rag_assets.search.filters import Filters
from rag_assets.search.question import Question, parse

# Of about so many chunks the best are found, at least; of more where more are wanted, up to some number.
FEWEST_CANDIDATES = 1_000
CANDIDATES_PER_HIT = 20
MANY_CANDIDATES = 5_000
# Where fewer than so many of the candidates a hit pass a filter, so many times more are asked for.
WIDER = 4
ENOUGH_PASSING = 3
# Of a page that is pasted as a question, the rarest words say what it is about.
MOST_WORDS = 64

_READ_QUESTION = text(
    "SELECT s.language\\:\\:text AS language, s.chunks, s.mean_tokens, w.lexemes, w.documents, p.phrases, p.excluded, "
    "p.verbatim, p.excluded_verbatim, "
    # A question takes milliseconds: compiling its statement would take many times that.
    "set_config('jit', 'off', true) FROM rag.word_statistics s CROSS JOIN LATERAL ("
    "SELECT array_agg(q.lexeme ORDER BY coalesce(l.documents, 0), q.lexeme) AS lexemes, "
    "array_agg(coalesce(l.documents, 0) ORDER BY coalesce(l.documents, 0), q.lexeme) AS documents "
    "FROM unnest(tsvector_to_array(to_tsvector(s.language, rag.hyphenated(:words)))) AS q(lexeme) "
    "LEFT JOIN rag.lexemes l ON (l.chunking, l.language, l.lexeme) = (s.chunking, s.language, q.lexeme)) w "
    "CROSS JOIN LATERAL (SELECT array_agg(g.lexemes) FILTER (WHERE g.of = 'phrase' AND g.found) AS phrases, "
    "array_agg(g.lexemes) FILTER (WHERE g.of = 'excluded' AND g.found AND NOT g.cut) AS excluded, "
    "array_agg(g.pattern) FILTER (WHERE g.of = 'phrase' AND g.cut) AS verbatim, "
    "array_agg(g.pattern) FILTER (WHERE g.of = 'excluded' AND g.cut) AS excluded_verbatim FROM ("
    # In a chunk, a name in one piece and then its parts stand in a row: as a phrase it is found in either way.
    "SELECT f.of, f.whole\\:\\:text || ' | ' || f.parts\\:\\:text AS lexemes, "
    # Of a phrase of stop words nothing is left.
    "numnode(f.whole) > 0 AND numnode(f.parts) > 0 AS found, "
    # Stop words are not in the index, so what has some is looked for in the text too, or for what is left of it
    # "out of memory" would be any memory.
    "numnode(f.said) > greatest(numnode(f.whole), 1) AS cut, "
    "'(^|\\W)' || regexp_replace(regexp_replace(f.text, '^\\W+|\\W+$', '', 'g'), '\\W+', '\\\\W+', 'g') || '(\\W|$)' "
    "AS pattern FROM (SELECT x.of, x.text, phraseto_tsquery(s.language, h.words) AS whole, "
    "phraseto_tsquery(s.language, translate(h.words, '-', ' ')) AS parts, "
    "phraseto_tsquery('simple', h.words) AS said FROM ("
    "SELECT 'phrase' AS of, unnest(CAST(:phrases AS text[])) AS text UNION ALL "
    "SELECT 'excluded', unnest(CAST(:excluded AS text[]))) x "
    "CROSS JOIN LATERAL (SELECT rag.hyphenated(x.text) AS words) h) f) g) p "
    "WHERE s.chunking = :chunking"
)


@dataclass(frozen=True, slots=True)
class FoundByWords:
    """(chunk id, BM25 score), best first, and how many chunks were scored for it."""

    chunks: Sequence[tuple[UUID, float]]
    considered: int


def search_words(
    connection: Connection, space: EmbeddingSpace, question: str, *, k: int, filters: Filters | None = None
) -> FoundByWords:
    """The `k` best chunks that share a word with the question, hold its "phrases" and none of its -words.

    Fewer only where fewer are such; none for a question of stop words. Equal scores are in the order of project, file
    and place. In a large corpus the candidates leave out chunks that share only its commoner words with a question.
    """
    asked = _read(connection, space, parse(question))
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


def without_excluded(connection: Connection, space: EmbeddingSpace, question: str) -> list[ColumnElement[bool]]:
    """Conditions that hold for chunks without the question's -words; none where it has none."""
    asked = parse(question)
    if not asked.excluded:
        return []
    conditions = []
    for row in connection.execute(_READ_QUESTION, _values(space, asked)):
        has_one: list[ColumnElement[bool]] = []
        if row.excluded:
            any_of_them = cast(literal(" | ".join(f"({one})" for one in row.excluded), Text), TSQUERY)
            has_one.append(DocumentChunk.tsv.op("@@")(any_of_them))
        has_one += [DocumentChunk.chunk_text.regexp_match(one, flags="i") for one in row.excluded_verbatim or []]
        if has_one:
            in_language = DocumentChunk.language == cast(literal(row.language, Text), REGCONFIG)
            conditions.append(not_(and_(in_language, or_(*has_one))))
    return conditions


def _values(space: EmbeddingSpace, question: Question) -> dict[str, Any]:
    return {
        "words": question.words,
        "phrases": list(question.phrases),
        "excluded": list(question.excluded),
        "chunking": space.chunking,
    }


def _read(connection: Connection, space: EmbeddingSpace, question: Question) -> list[Asked]:
    return [
        Asked(
            space.chunking,
            row.language,
            row.chunks,
            max(row.mean_tokens, 1.0),
            [Word(*pair) for pair in zip(row.lexemes, row.documents, strict=True)][:MOST_WORDS],
            row.phrases or [],
            row.excluded or [],
            row.verbatim or [],
            row.excluded_verbatim or [],
        )
        for row in connection.execute(_READ_QUESTION, _values(space, question))
        if row.lexemes
    ]


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
