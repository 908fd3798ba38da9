"""Analyze a query in each language of the chunks: its lexemes, phrases and exclusions."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, literal, not_, or_, text
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY

from rag_assets.db.models import DocumentChunk, EmbeddingSpace
from rag_assets.search.keyword.query_syntax import parse_query
from rag_assets.search.keyword.term_selection import Term

# When a whole page is pasted as a query, its rarest terms characterize it.
MAX_TERMS = 64

_ANALYZE_QUERY = text(
    "SELECT s.language\\:\\:text AS language, s.chunks, s.mean_tokens, w.lexemes, w.documents, p.phrases, p.excluded, "
    "p.verbatim, p.excluded_verbatim, "
    # A search takes milliseconds: JIT compilation of its statement would take many times that.
    "set_config('jit', 'off', true) FROM rag.word_statistics s CROSS JOIN LATERAL ("
    "SELECT array_agg(q.lexeme ORDER BY coalesce(l.documents, 0), q.lexeme) AS lexemes, "
    "array_agg(coalesce(l.documents, 0) ORDER BY coalesce(l.documents, 0), q.lexeme) AS documents "
    "FROM unnest(tsvector_to_array(to_tsvector(s.language, rag.hyphenated(:words)))) AS q(lexeme) "
    "LEFT JOIN rag.lexemes l ON (l.chunking, l.language, l.lexeme) = (s.chunking, s.language, q.lexeme)) w "
    "CROSS JOIN LATERAL (SELECT array_agg(g.lexemes) FILTER (WHERE g.of = 'phrase' AND g.found) AS phrases, "
    "array_agg(g.lexemes) FILTER (WHERE g.of = 'excluded' AND g.found AND NOT g.has_stop_words) AS excluded, "
    "array_agg(g.pattern) FILTER (WHERE g.of = 'phrase' AND g.has_stop_words) AS verbatim, "
    # One pattern: the server caches about thirty compiled patterns, and would recompile more for each chunk.
    "string_agg(g.pattern, '|') FILTER (WHERE g.of = 'excluded' AND g.has_stop_words) AS excluded_verbatim FROM ("
    # A hyphenated name is indexed as one lexeme followed by its parts: as a phrase it is found in either form.
    "SELECT f.of, f.whole\\:\\:text || ' | ' || f.parts\\:\\:text AS lexemes, "
    # A phrase of stop words has no lexemes.
    "numnode(f.whole) > 0 AND numnode(f.parts) > 0 AS found, "
    # Stop words are not indexed, so a phrase with stop words is also matched in the text: otherwise "out of memory"
    # would match any memory.
    "numnode(f.every_word) > greatest(numnode(f.whole), 1) AS has_stop_words, "
    "'(^|\\W)' || regexp_replace(regexp_replace(f.text, '^\\W+|\\W+$', '', 'g'), '\\W+', '\\\\W+', 'g') || '(\\W|$)' "
    "AS pattern FROM (SELECT x.of, x.text, phraseto_tsquery(s.language, h.words) AS whole, "
    "phraseto_tsquery(s.language, translate(h.words, '-', ' ')) AS parts, "
    "phraseto_tsquery('simple', h.words) AS every_word FROM ("
    "SELECT 'phrase' AS of, unnest(CAST(:phrases AS text[])) AS text UNION ALL "
    "SELECT 'excluded', unnest(CAST(:excluded AS text[]))) x "
    "CROSS JOIN LATERAL (SELECT rag.hyphenated(x.text) AS words) h) f) g) p "
    "WHERE s.chunking = :chunking"
)


@dataclass(frozen=True, slots=True)
class LanguageQuery:
    """A query in one language of the chunks, and the statistics of the chunks in that language.

    `terms` are sorted, the rarest first. `phrases` and `excluded` are in `tsquery` syntax. `verbatim` and
    `excluded_verbatim` are regular expressions for the text of a chunk, for phrases with stop words.
    """

    chunking: str
    language: str
    chunks: int
    mean_tokens: float
    terms: Sequence[Term]
    phrases: Sequence[str]
    excluded: Sequence[str]
    verbatim: Sequence[str]
    excluded_verbatim: str | None

    @property
    def max_matching_chunks(self) -> int:
        """An upper bound of the number of chunks that share a term with the query."""
        return sum(term.documents for term in self.terms)


def analyze_query(connection: Connection, space: EmbeddingSpace, text: str) -> list[LanguageQuery]:
    """The query in each language of the space's chunks; `terms` are empty where it has only stop words."""
    parsed = parse_query(text)
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


def verbatim_conditions(query: LanguageQuery) -> list[ColumnElement[bool]]:
    """Conditions on the text of a chunk, for phrases with stop words; usually none."""
    excluded = [not_(_matches(query.excluded_verbatim))] if query.excluded_verbatim else []
    return [*map(_matches, query.verbatim), *excluded]


def exclusion_conditions(queries: Sequence[LanguageQuery]) -> list[ColumnElement[bool]]:
    """Conditions that are true for chunks without the query's -words and -"phrases"; empty where it has none."""
    conditions = []
    for query in queries:
        contains_excluded: list[ColumnElement[bool]] = []
        if query.excluded:
            any_excluded = cast(literal(" | ".join(f"({part})" for part in query.excluded), Text), TSQUERY)
            contains_excluded.append(DocumentChunk.tsv.op("@@")(any_excluded))
        if query.excluded_verbatim:
            contains_excluded.append(_matches(query.excluded_verbatim))
        if contains_excluded:
            in_language = DocumentChunk.language == cast(literal(query.language, Text), REGCONFIG)
            conditions.append(not_(and_(in_language, or_(*contains_excluded))))
    return conditions


def _matches(pattern: str) -> ColumnElement[bool]:
    return DocumentChunk.chunk_text.regexp_match(pattern, flags="i")
