"""What a question asks for in each language of the chunks: their lexemes, phrases, and what must not be there."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, literal, not_, or_, text
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY

from rag_assets.db.models import DocumentChunk, EmbeddingSpace
from rag_assets.search.keyword.query_syntax import parse_query
from rag_assets.search.keyword.term_selection import Term

# Of a page that is pasted as a question, the rarest words say what it is about.
MAX_TERMS = 64

_ANALYZE_QUERY = text(
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
    # One pattern: the server keeps some thirty of them ready, and would make more anew for each chunk.
    "string_agg(g.pattern, '|') FILTER (WHERE g.of = 'excluded' AND g.cut) AS excluded_verbatim FROM ("
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
class LanguageQuery:
    """A question in one of the languages that the chunks of a chunking are in, and the statistics of these chunks.

    `words` are in order, the rarest first; `phrases` and `excluded` are texts for `tsquery`; `verbatim` and
    `excluded_verbatim` are patterns for the chunk's text, of what has stop words.
    """

    chunking: str
    language: str
    chunks: int
    mean_tokens: float
    words: Sequence[Term]
    phrases: Sequence[str]
    excluded: Sequence[str]
    verbatim: Sequence[str]
    excluded_verbatim: str | None

    @property
    def mentions(self) -> int:
        """No fewer chunks than share a word with the question."""
        return sum(word.documents for word in self.words)


def analyze_query(connection: Connection, space: EmbeddingSpace, question: str) -> list[LanguageQuery]:
    """The question in each language that chunks of the space are in; without `words` where it has but stop words."""
    parsed = parse_query(question)
    values = {
        "words": parsed.words,
        "phrases": list(parsed.phrases),
        "excluded": list(parsed.excluded),
        "chunking": space.chunking,
    }
    return [
        LanguageQuery(
            space.chunking,
            row.language,
            row.chunks,
            max(row.mean_tokens, 1.0),
            [Term(*pair) for pair in zip(row.lexemes or [], row.documents or [], strict=True)][:MAX_TERMS],
            row.phrases or [],
            row.excluded or [],
            row.verbatim or [],
            row.excluded_verbatim,
        )
        for row in connection.execute(_ANALYZE_QUERY, values)
    ]


def verbatim_conditions(one: LanguageQuery) -> list[ColumnElement[bool]]:
    """Conditions beside those of `tsquery`, for what has stop words; mostly none."""
    excluded = [not_(_matches(one.excluded_verbatim))] if one.excluded_verbatim else []
    return [*map(_matches, one.verbatim), *excluded]


def exclusion_conditions(asked: Sequence[LanguageQuery]) -> list[ColumnElement[bool]]:
    """Conditions that hold for chunks without the question's -words; none where it has none."""
    conditions = []
    for one in asked:
        has_one: list[ColumnElement[bool]] = []
        if one.excluded:
            any_of_them = cast(literal(" | ".join(f"({part})" for part in one.excluded), Text), TSQUERY)
            has_one.append(DocumentChunk.tsv.op("@@")(any_of_them))
        if one.excluded_verbatim:
            has_one.append(_matches(one.excluded_verbatim))
        if has_one:
            in_language = DocumentChunk.language == cast(literal(one.language, Text), REGCONFIG)
            conditions.append(not_(and_(in_language, or_(*has_one))))
    return conditions


def _matches(pattern: str) -> ColumnElement[bool]:
    return DocumentChunk.chunk_text.regexp_match(pattern, flags="i")
