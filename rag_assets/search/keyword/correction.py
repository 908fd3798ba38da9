"""Other words for a query that finds nothing: words that begin with its own, or differ from it by a typo."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from rapidfuzz.distance import OSA
from sqlalchemy import Connection, text

from rag_assets.search.keyword.accents import MARK
from rag_assets.search.keyword.lexemes import LanguageQuery
from rag_assets.search.keyword.term_selection import Term, quote_lexeme
from rag_assets.search.keyword.unspaced import is_unspaced

# Shorter words have too many neighbours.
MIN_PREFIX_CHARS, MIN_TYPO_CHARS, MIN_TWO_TYPOS_CHARS = 3, 4, 8
# How many words replace one.
MAX_REPLACEMENTS = 5
# Reading a million lexemes takes half a second: of so many, only those with one of the first two letters are compared.
MAX_READ = 300_000
_MAX_COMPARED = 5_000
# Words of one query that similar ones are looked for.
_MAX_TRIED = 3
# A stemmer removes up to so many letters, and not always the same ones of a word with a typo.
_MAX_ENDING = 5
# Stems whose words are compared.
_MAX_STEMS = 10

_SIZE = text("SELECT reltuples FROM pg_class WHERE oid = to_regclass('rag.lexemes')")
_SIMILAR = text(
    "SELECT lexeme, documents FROM rag.lexemes WHERE chunking = :chunking "
    "AND language = CAST(CAST(:language AS text) AS regconfig) AND (starts_with(lexeme, :word) "
    "OR char_length(lexeme) BETWEEN :least AND :most) "
    "AND (lexeme >= :first AND lexeme < :after_first OR lexeme >= :second AND lexeme < :after_second "
    "OR :is_small AND right(lexeme, :ending) = right(:word, :ending)) "
    "ORDER BY starts_with(lexeme, :word) DESC, documents DESC, lexeme LIMIT :compared"
)
_AS_WRITTEN = text(
    "SELECT word FROM regexp_split_to_table(:words, '\\s+') AS word "
    "WHERE tsvector_to_array(rag.word_vector(CAST(CAST(:language AS text) AS regconfig), word)) "
    "&& CAST(:forms AS text[]) LIMIT 1"
)
_IN_CHUNK = text(
    "SELECT DISTINCT t.token FROM rag.document_chunks c, "
    "ts_parse('default', rag.plain_words(coalesce(c.header, '') || ' ' || c.chunk_text)) t "
    "WHERE c.id = :chunk AND tsvector_to_array(to_tsvector(c.language, t.token)) && CAST(:lexemes AS text[]) "
    "ORDER BY t.token"
)
_WITH_STEM = text(
    "SELECT DISTINCT t.token FROM (SELECT header, chunk_text FROM rag.document_chunks WHERE chunking = :chunking "
    "AND language = CAST(CAST(:language AS text) AS regconfig) AND tsv @@ CAST(:quoted AS tsquery) LIMIT 1) c, "
    "ts_parse('default', rag.plain_words(coalesce(c.header, '') || ' ' || c.chunk_text)) t WHERE t.token <> '' "
    "AND :lexeme = ANY (tsvector_to_array(to_tsvector(CAST(CAST(:language AS text) AS regconfig), t.token)))"
)


@dataclass(frozen=True, slots=True)
class Correction:
    """`queries` with other lexemes in place of `lexeme`, the rarest of the query; `word` is how the query wrote it."""

    word: str
    lexemes: Sequence[str]
    queries: Sequence[LanguageQuery]

    def found_words(self, connection: Connection, chunk: UUID) -> list[str]:
        """The words of a chunk that have these lexemes; else the lexemes."""
        found = connection.scalars(_IN_CHUNK, {"chunk": chunk, "lexemes": list(self.lexemes)}).all()
        return list(found) or list(self.lexemes)


def correct_rarest_word(connection: Connection, queries: Sequence[LanguageQuery], words: str) -> Correction | None:
    """Replace the rarest word of the query where no chunk has it and others have a similar one."""
    for query in queries:
        unknown = [term.lexeme for term in query.terms if not term.documents and _is_correctable(term.lexeme)]
        if query.phrases or query.verbatim or not unknown:
            continue
        # Of words that are equally rare, the longest says most; one with accents is also there without them.
        for rarest in sorted(unknown, key=len, reverse=True)[:_MAX_TRIED]:
            values = {"words": words, "forms": [rarest, MARK + rarest], "language": query.language}
            similar = _similar_terms(connection, query, rarest)
            if not similar and (written := connection.scalar(_AS_WRITTEN, values)):
                similar = _similar_by_word(connection, query, written.lower().strip(".,;:!?()'\""))
            if similar:
                kept = [term for term in query.terms if term.lexeme not in (rarest, MARK + rarest)]
                terms = sorted([*kept, *similar], key=lambda term: term.documents)
                others = [other for other in queries if other is not query]
                written = (connection.scalar(_AS_WRITTEN, values) or rarest).strip(".,;:!?()'\"")
                return Correction(written, [term.lexeme for term in similar], [replace(query, terms=terms), *others])
    return None


def _is_correctable(lexeme: str) -> bool:
    return lexeme.isalnum() and not lexeme.isdecimal() and lexeme[0] != MARK and not is_unspaced(lexeme)


def _similar_terms(connection: Connection, query: LanguageQuery, word: str) -> list[Term]:
    """Lexemes that begin with the word; else those with the fewest typos. The most common first."""
    if len(word) < MIN_PREFIX_CHARS:
        return []
    # Another number is another thing.
    has_typos = word.isalpha() and len(word) >= MIN_TYPO_CHARS
    typos = 0 if not has_typos else 1 if len(word) < MIN_TWO_TYPOS_CHARS else 2
    values = _values(connection, query, word, len(word) - typos, len(word) + typos)
    rows = connection.execute(_SIMILAR, values).all()
    similar = [row for row in rows if row.lexeme.startswith(word) and row.lexeme != word]
    if not similar and typos:
        distances = [(count_typos(word, row.lexeme, typos), row) for row in rows]
        least = min((distance for distance, _ in distances), default=typos + 1)
        similar = [row for distance, row in distances if distance == least <= typos]
    return [Term(row.lexeme, row.documents) for row in similar[:MAX_REPLACEMENTS]]


def _values(connection: Connection, query: LanguageQuery, word: str, least: int, most: int) -> dict[str, Any]:
    return {
        "chunking": query.chunking,
        "language": query.language,
        "word": word,
        "least": least,
        "most": most,
        # A typo may be in the first letter.
        "first": word[0],
        "after_first": chr(ord(word[0]) + 1),
        "second": word[1],
        "after_second": chr(ord(word[1]) + 1),
        "is_small": (connection.scalar(_SIZE) or 0) <= MAX_READ,
        "ending": max(3, len(word) // 2),
        "compared": _MAX_COMPARED,
    }


def _similar_by_word(connection: Connection, query: LanguageQuery, word: str) -> list[Term]:
    """Lexemes of words with the fewest typos: a typo may make the stem of a word quite another one."""
    if not word.isalpha() or len(word) < MIN_TYPO_CHARS:
        return []
    typos = 1 if len(word) < MIN_TWO_TYPOS_CHARS else 2
    rows = connection.execute(_SIMILAR, _values(connection, query, word, len(word) - _MAX_ENDING, len(word))).all()
    stems = sorted((_count_typos_of_stem(word, row.lexeme, typos), -row.documents, row.lexeme) for row in rows)
    found: list[tuple[int, Term]] = []
    for distance, documents, lexeme in stems[:_MAX_STEMS]:
        if distance > typos:
            break
        values = {"chunking": query.chunking, "language": query.language, "lexeme": lexeme}
        words = connection.scalars(_WITH_STEM, values | {"quoted": quote_lexeme(lexeme)})
        found += [(count_typos(word, one, typos), Term(lexeme, -documents)) for one in words]
    least = min((distance for distance, _ in found), default=typos + 1)
    similar = [term for distance, term in found if distance == least <= typos]
    return list(dict.fromkeys(similar))[:MAX_REPLACEMENTS]


def _count_typos_of_stem(word: str, stem: str, most: int) -> int:
    """The least number of typos in the beginning of a word that may have this stem."""
    lengths = range(max(MIN_TYPO_CHARS, len(stem) - most), min(len(word), len(stem) + most) + 1)
    return min((count_typos(word[:length], stem, most) for length in lengths), default=most + 1)


def count_typos(one: str, other: str, most: int) -> int:
    """Letters inserted, left out or replaced, and neighbours exchanged; more than `most` where it would be more.

    The "optimal string alignment" distance.
    """
    return OSA.distance(one, other, score_cutoff=most)
