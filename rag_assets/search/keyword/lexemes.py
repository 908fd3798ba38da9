"""Analyze a query in each language of the chunks: its lexemes, phrases and exclusions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, literal, not_, or_, text
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY

from rag_assets.db.access.viewer import is_restricted
from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.models import DocumentChunk, EmbeddingSpace
from rag_assets.search.keyword.accents import MARK, OTHER_FORM, make_terms, without_accents
from rag_assets.search.keyword.compounds import weigh_compounds
from rag_assets.search.keyword.query_syntax import ParsedQuery
from rag_assets.search.keyword.term_selection import Term, quote_lexeme
from rag_assets.search.keyword.unspaced import find_words, is_letter, is_pair
from rag_assets.search.keyword.verbatim import contains_any_phrase, contains_without_accents

# When a whole page is pasted as a query, its rarest terms characterize it.
MAX_TERMS = 64
# How many pairs of letters are searched for a single letter of a script without spaces.
MAX_PAIRS = 50

# As in `rag.normalize_words`.
# Tried at the start of each word alone: the time would grow with the square of a word's length.
_CAMEL_CASE = re.compile(
    "(?<![A-Za-z0-9])[A-Za-z0-9]*(?:[a-z0-9][A-Z][a-z]|[a-z][a-z][A-Z]|[A-Z][A-Z][a-z][a-z])[A-Za-z0-9]*", re.ASCII
)
_GROUPED = re.compile(
    "(?<![0-9.,])([0-9]{1,3}(?:(?:,[0-9]{3})+|(?:\\.[0-9]{3})+|(?:['\u2019][0-9]{3})+|"
    "(?:[\u00a0\u202f\u2009][0-9]{3})+))(?:[.,]([0-9]+))?(?![0-9]|[.,][0-9])"
)
# The statistics of at most so many of the viewer's chunks: those of all would tell of chunks that it may not read.
SAMPLED_CHUNKS = 1_200
_ANALYZE_WORDS_OF_VIEWER = text(
    "WITH sample AS MATERIALIZED (SELECT * FROM rag.readable_sample(:chunking, CAST(:sampled AS bigint))), "
    "statistics AS MATERIALIZED (SELECT language, CAST(count(*) AS int) AS chunks, "
    "CAST(avg(token_count) AS float8) AS mean_tokens FROM sample GROUP BY language), "
    "words AS MATERIALIZED (SELECT s.language, q.lexeme, array_to_string(q.positions, ' ') AS positions, "
    "CASE WHEN left(q.lexeme, 1) = :mark THEN substr(q.lexeme, 2) ELSE :mark || q.lexeme END AS other "
    "FROM statistics s "
    "CROSS JOIN LATERAL unnest(rag.word_vector(s.language, :words)) AS q(lexeme, positions, weights)), "
    "wanted AS MATERIALIZED (SELECT e.language, array_agg(e.lexeme) AS lexemes, CAST(string_agg("
    "'''' || replace(replace(e.lexeme, '\\', '\\\\'), '''', '''''') || '''', ' | ') AS tsquery) AS any_of "
    "FROM (SELECT language, lexeme FROM words UNION SELECT language, other FROM words) e GROUP BY e.language), "
    # Each chunk is read once for all words: its marked lexemes, as in BM25's score. Most chunks have none.
    "counted AS MATERIALIZED (SELECT c.language, f.lexeme, CAST(count(*) AS int) AS documents FROM sample c "
    "JOIN wanted w ON w.language = c.language AND c.tsv @@ w.any_of CROSS JOIN LATERAL "
    "unnest(ts_filter(setweight(c.tsv, 'A', w.lexemes), '{a}')) AS f(lexeme, positions, weights) GROUP BY 1, 2) "
    "SELECT CAST(s.language AS text) AS language, s.chunks, s.mean_tokens, w.lexemes, w.positions, w.documents, "
    "w.others, set_config('jit', 'off', true) FROM statistics s CROSS JOIN LATERAL ("
    "SELECT array_agg(q.lexeme) AS lexemes, array_agg(q.positions) AS positions, "
    "array_agg(coalesce(c.documents, 0)) AS documents, array_agg(coalesce(o.documents, 0)) AS others "
    "FROM words q LEFT JOIN counted c ON (c.language, c.lexeme) = (q.language, q.lexeme) "
    "LEFT JOIN counted o ON (o.language, o.lexeme) = (q.language, q.other) WHERE q.language = s.language) w"
)
_ANALYZE_WORDS = text(
    "SELECT s.language\\:\\:text AS language, s.chunks, s.mean_tokens, w.lexemes, w.positions, w.documents, w.others, "
    # A search takes milliseconds: JIT compilation of its statement would take many times that.
    "set_config('jit', 'off', true) FROM rag.word_statistics s CROSS JOIN LATERAL ("
    "SELECT array_agg(q.lexeme) AS lexemes, array_agg(array_to_string(q.positions, ' ')) AS positions, "
    # Subqueries, each of which is one look into the index: for a join the planner may read all lexemes.
    "array_agg(coalesce((SELECT l.documents FROM rag.lexemes l "
    "WHERE (l.chunking, l.language, l.lexeme) = (s.chunking, s.language, q.lexeme)), 0)) AS documents, "
    # The accent-free form of a word, or the word of an accent-free form.
    "array_agg(coalesce((SELECT o.documents FROM rag.lexemes o "
    "WHERE (o.chunking, o.language, o.lexeme) = (s.chunking, s.language, "
    "CASE WHEN left(q.lexeme, 1) = :mark THEN substr(q.lexeme, 2) ELSE :mark || q.lexeme END)), 0)) AS others "
    "FROM unnest(rag.word_vector(s.language, :words)) AS q(lexeme, positions, weights)) w "
    "WHERE s.chunking = :chunking"
)
# Apart from that of the words, since most queries have no phrases and planning takes longer than the rest.
_ANALYZE_PHRASES = text(
    "SELECT s.language\\:\\:text AS language, "
    "array_agg(g.lexemes) FILTER (WHERE g.of = 'phrase' AND g.found) AS phrases, "
    "array_agg(g.words) FILTER (WHERE g.of = 'phrase' AND g.found) AS phrase_words, "
    "array_agg(array_to_string(tsvector_to_array(rag.word_vector(s.language, g.words)), ' ')) "
    "FILTER (WHERE g.of = 'phrase' AND g.found) AS phrase_lexemes, "
    "array_agg(g.lexemes) FILTER (WHERE g.of = 'excluded' AND g.found AND NOT g.has_stop_words) AS excluded, "
    "array_agg(g.words) FILTER (WHERE g.of = 'phrase' AND g.has_stop_words) AS verbatim, "
    "array_agg(g.words) FILTER (WHERE g.of = 'excluded' AND g.has_stop_words) AS excluded_verbatim "
    "FROM (SELECT CAST(l AS regconfig) AS language FROM unnest(CAST(:languages AS text[])) AS l) s CROSS JOIN LATERAL ("
    # A hyphenated name is indexed as one lexeme followed by its parts: as a phrase it is found in either form.
    "SELECT f.of, f.words, f.whole\\:\\:text || ' | ' || f.parts\\:\\:text AS lexemes, "
    # A phrase of stop words has no lexemes.
    "numnode(f.whole) > 0 AND numnode(f.parts) > 0 AS found, "
    # Stop words are not indexed, so a phrase with stop words is also matched in the text: otherwise "out of memory"
    # would match any memory.
    "numnode(f.every_word) > greatest(numnode(f.whole), 1) AS has_stop_words "
    "FROM (SELECT x.of, h.words, phraseto_tsquery(s.language, h.words) AS whole, "
    "phraseto_tsquery(s.language, translate(h.words, '-', ' ')) AS parts, "
    "phraseto_tsquery('simple', h.words) AS every_word FROM ("
    "SELECT 'phrase' AS of, unnest(CAST(:phrases AS text[])) AS text UNION ALL "
    "SELECT 'excluded', unnest(CAST(:excluded AS text[]))) x "
    "CROSS JOIN LATERAL (SELECT rag.plain_words(x.text) AS words OFFSET 0) h) f) g "
    "GROUP BY s.language"
)
_PAIRS = text(
    "SELECT l.lexeme, l.documents FROM rag.lexemes l WHERE l.chunking = :chunking "
    "AND l.language = CAST(CAST(:language AS text) AS regconfig) AND l.lexeme >= :letter AND l.lexeme < :after "
    "ORDER BY l.documents DESC, l.lexeme LIMIT :most"
)


@dataclass(frozen=True, slots=True)
class LanguageQuery:
    """A query in one language of the chunks, and the statistics of the chunks in that language.

    `terms` are sorted, the rarest first. `phrases`, `excluded` and `preferred` are in `tsquery` syntax. `verbatim` and
    `excluded_verbatim` are phrases with stop words. Chunks without what is `preferred` are searched when no others
    are found. `accent_free` are phrases of `phrases`, each in `tsquery` syntax and as words, whose words have other
    forms with or without accents: `phrases` has only their words, in any form.
    """

    chunking: str
    language: str
    chunks: int
    mean_tokens: float
    terms: Sequence[Term]
    phrases: Sequence[str] = ()
    excluded: Sequence[str] = ()
    verbatim: Sequence[str] = ()
    excluded_verbatim: Sequence[str] = ()
    preferred: str | None = None
    accent_free: Sequence[tuple[str, str]] = ()

    @property
    def max_matching_chunks(self) -> int:
        """An upper bound of the number of chunks that share a term with the query."""
        return sum(term.documents for term in self.terms)


def analyze_query(connection: Connection, space: EmbeddingSpace, parsed: ParsedQuery) -> list[LanguageQuery]:
    """The query in each language of the space's chunks; `terms` are empty where it has only stop words."""
    whole = _GROUPED.sub(_without_grouping, _CAMEL_CASE.sub(lambda name: name[0].lower(), parsed.words))
    values: dict[str, Any] = {"words": whole, "chunking": space.chunking, "mark": MARK}
    rows = _analyze_words(connection, values)
    if whole != parsed.words and any(0 in (row.documents or []) for row in rows):
        # The parts of a name or number that texts have as a whole would find too much.
        rows = _analyze_words(connection, values | {"words": parsed.words})
    phrases: dict[str, Any] = {}
    if parsed.phrases or parsed.excluded:
        values = {"phrases": [*parsed.phrases], "excluded": [*parsed.excluded]}
        # The languages are those of the words: the statistics of all are not for a viewer.
        values["languages"] = [row.language for row in rows]
        phrases = {row.language: row for row in connection.execute(_ANALYZE_PHRASES, values)}
    queries = [_language_query(connection, space.chunking, row, parsed.words) for row in rows]
    return [_with_phrases(query, phrases[query.language]) if phrases else query for query in queries]


class _AnalyzedWords(NamedTuple):
    """What `_ANALYZE_WORDS` returns of a language."""

    language: str
    chunks: int
    mean_tokens: float
    lexemes: Sequence[str] | None
    positions: Sequence[str] | None
    documents: Sequence[int] | None
    others: Sequence[int] | None
    jit: str


def _analyze_words(connection: Connection, values: dict[str, Any]) -> list[_AnalyzedWords]:
    if is_restricted(connection):
        rows = run_compiled(connection, _compiled_analysis(of_viewer=True), values | {"sampled": SAMPLED_CHUNKS})
        return [_AnalyzedWords(*row) for row in rows]
    return [_AnalyzedWords(*row) for row in run_compiled(connection, _compiled_analysis(of_viewer=False), values)]


@cache
def _compiled_analysis(*, of_viewer: bool) -> CompiledStatement:
    return compile_statement(_ANALYZE_WORDS_OF_VIEWER if of_viewer else _ANALYZE_WORDS)


def _without_grouping(number: re.Match[str]) -> str:
    """1,234.56 as 1234.56; 1.234 may be a version."""
    if number[2] is None and number[1].count(".") == 1:
        return number[0]
    return ".".join(filter(None, [re.sub("[^0-9]", "", number[1]), number[2]]))


def _language_query(connection: Connection, chunking: str, row: _AnalyzedWords, words: str) -> LanguageQuery:
    found = dict(zip(row.lexemes or [], zip(row.documents or [], row.others or [], strict=True), strict=True))
    if any(not lexeme.isascii() for lexeme in found):
        found = _without_last_letters(found)
    terms = make_terms(found, is_ascii=words.isascii())
    if any("-" in lexeme for lexeme in found):
        places = {
            lexeme: [int(at) for at in at_words.split()]
            for lexeme, at_words in zip(row.lexemes or [], row.positions or [], strict=True)
        }
        terms = weigh_compounds(terms, places, row.chunks)
    if terms and all(is_letter(term.lexeme) for term in terms):
        terms = [pair for term in terms for pair in _find_pairs(connection, chunking, row.language, term)]
    if len(terms) > MAX_TERMS:
        # A page of another text has many words that no chunk has.
        terms = sorted(terms, key=lambda term: (not term.documents, term.documents, term.lexeme))[:MAX_TERMS]
    terms.sort(key=lambda term: (term.documents, term.lexeme))
    return LanguageQuery(
        chunking,
        row.language,
        row.chunks,
        max(row.mean_tokens, 1.0),
        terms,
        preferred=None if words.isascii() else _prefer_words(terms, find_words(words)),
    )


def _with_phrases(query: LanguageQuery, row: Any) -> LanguageQuery:
    phrases = [_with_prefixes(phrase) for phrase in row.phrases or []]
    accent_free = []
    if any(term.share == OTHER_FORM and term.documents for term in query.terms):
        words = zip(phrases, row.phrase_words or [], row.phrase_lexemes or [], strict=True)
        for at, (phrase, written, lexemes) in enumerate(words):
            if any_form := _in_any_form(query.terms, lexemes.split()):
                phrases[at] = any_form
                accent_free.append((phrase, written))
    return replace(
        query,
        phrases=phrases,
        excluded=[_with_prefixes(phrase) for phrase in row.excluded or []],
        verbatim=row.verbatim or [],
        excluded_verbatim=row.excluded_verbatim or [],
        accent_free=accent_free,
    )


def _in_any_form(terms: Sequence[Term], lexemes: Sequence[str]) -> str:
    """A condition that all these lexemes occur, with or without accents; empty where they have one form."""
    known = {term.lexeme for term in terms}
    parts = []
    for lexeme in lexemes:
        bare = without_accents(lexeme)
        if lexeme in known and not lexeme.startswith(MARK):
            parts.append([lexeme, *({MARK + bare, bare} & known - {lexeme})])
    if all(len(forms) == 1 for forms in parts):
        return ""
    return " & ".join(f"({' | '.join(map(quote_lexeme, forms))})" for forms in parts)


def _without_last_letters(found: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """A text's last letter is a lexeme of its own; a query has it in the last pair already."""
    last = {lexeme[at:] for lexeme in found if is_pair(lexeme) for at in range(1, len(lexeme))}
    return {lexeme: counts for lexeme, counts in found.items() if not (lexeme in last and is_letter(lexeme))}


def _find_pairs(connection: Connection, chunking: str, language: str, letter: Term) -> list[Term]:
    """The lexemes that begin with this letter; texts of scripts without spaces are indexed in pairs of letters."""
    if is_restricted(connection):
        return [letter]
    after = letter.lexeme + "\U0010ffff"
    values = {"chunking": chunking, "language": language, "letter": letter.lexeme, "after": after, "most": MAX_PAIRS}
    rows = connection.execute(_PAIRS, values).all()
    documents = max((row.documents for row in rows), default=0)
    return [Term(row.lexeme, row.documents, weighed_by=documents) for row in rows] or [letter]


def _prefer_words(terms: Sequence[Term], words: Sequence[Sequence[str]]) -> str | None:
    """A condition that the pairs of each probable word stand together, or another term occurs."""
    if not words:
        return None
    in_words = {pair for word in words for pair in word}
    parts = [f"({' <-> '.join(map(quote_lexeme, word))})" for word in words]
    return " | ".join([*parts, *(quote_lexeme(term.lexeme) for term in terms if term.lexeme not in in_words)])


def _with_prefixes(phrase: str) -> str:
    """A single letter of a script without spaces is the beginning of a lexeme."""
    return re.sub(r"'(\w+)'", lambda lexeme: f"{lexeme[0]}:*" if is_letter(lexeme[1]) else lexeme[0], phrase)


def verbatim_conditions(query: LanguageQuery) -> list[ColumnElement[bool]]:
    """Conditions on the text of a chunk, for phrases with stop words or accents; usually none."""
    excluded = [not_(contains_any_phrase(query.excluded_verbatim))] if query.excluded_verbatim else []
    without = [contains_without_accents(without_accents(words)) for _, words in query.accent_free]
    exact = [DocumentChunk.tsv.bool_op("@@")(cast(literal(phrase, Text), TSQUERY)) for phrase, _ in query.accent_free]
    return [
        *(or_(*conditions) for conditions in zip(exact, without, strict=True)),
        *(_contains_verbatim(query, phrase) for phrase in query.verbatim),
        *excluded,
    ]


def _contains_verbatim(query: LanguageQuery, phrase: str) -> ColumnElement[bool]:
    condition = contains_any_phrase([phrase])
    return or_(condition, contains_without_accents(without_accents(phrase))) if query.accent_free else condition


def exclusion_conditions(queries: Sequence[LanguageQuery]) -> list[ColumnElement[bool]]:
    """Conditions that are true for chunks without the query's exclusions; empty where it has none."""
    conditions = []
    for query in queries:
        contains_excluded: list[ColumnElement[bool]] = []
        if query.excluded:
            any_excluded = cast(literal(" | ".join(f"({part})" for part in query.excluded), Text), TSQUERY)
            contains_excluded.append(DocumentChunk.tsv.op("@@")(any_excluded))
        if query.excluded_verbatim:
            contains_excluded.append(contains_any_phrase(query.excluded_verbatim))
        if contains_excluded:
            in_language = DocumentChunk.language == cast(literal(query.language, Text), REGCONFIG)
            conditions.append(not_(and_(in_language, or_(*contains_excluded))))
    return conditions
