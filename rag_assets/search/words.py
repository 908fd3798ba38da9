"""Search by words: BM25 over the lexemes of the chunks, in the database.

Candidates come through the GIN index by the rarer words of a question, and only they are scored. The formula is
Okapi BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the
never-negative idf of Lucene; the length of a chunk is its number of tokens.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from rag_assets.db.models import EmbeddingSpace

K1 = 1.2
B = 0.75
# The rarer words of a question bring at least one and at most about so many candidates.
MOST_CANDIDATES = 3_000

_QUOTED = re.compile(r'"([^"]+)"')
_EXCLUDED = re.compile(r"(?:^|(?<=\s))-(\w[\w.]*)")


@dataclass(frozen=True, slots=True)
class WordQuery:
    """`words` are scored; `phrases` must and `excluded` must not stand in a chunk."""

    words: str
    phrases: tuple[str, ...]
    excluded: tuple[str, ...]


def parse(question: str) -> WordQuery:
    """Words as they are, "phrases in quotes", and -words to exclude."""
    phrases = tuple(_QUOTED.findall(question))
    rest = _QUOTED.sub(r" \1 ", question)
    return WordQuery(_EXCLUDED.sub(" ", rest), phrases, tuple(_EXCLUDED.findall(rest)))


_WORDS = text(
    "SELECT q.lexeme, coalesce(l.documents, 0) AS documents "
    "FROM unnest(tsvector_to_array(to_tsvector('english', :words))) AS q(lexeme) "
    "LEFT JOIN rag.lexemes l ON l.chunking = :chunking AND l.lexeme = q.lexeme"
)
_STATISTICS = text("SELECT chunks, mean_tokens FROM rag.word_statistics WHERE chunking = :chunking")
_SEARCH = text(
    "WITH scored AS ("
    "SELECT c.id, sum(w.weight * tf.n * (:k1 + 1) / (tf.n + :k1 * (1 - :b + :b * c.token_count / :mean))) AS score "
    "FROM rag.document_chunks c "
    "JOIN rag.documents d ON d.id = c.document_id "
    "JOIN rag.projects p ON p.id = d.project_id "
    "CROSS JOIN LATERAL unnest(c.tsv) AS t(lexeme, positions, weights) "
    "JOIN unnest(CAST(:lexemes AS text[]), CAST(:weights AS float8[])) AS w(lexeme, weight) ON w.lexeme = t.lexeme "
    "CROSS JOIN LATERAL (SELECT cardinality(t.positions) AS n) tf "
    "WHERE c.chunking = :chunking "
    "AND c.tsv @@ (SELECT string_agg(quote_literal(r.lexeme), ' | ')::tsquery "
    "FROM unnest(CAST(:rare AS text[])) AS r(lexeme)) "
    "AND (CAST(:project AS text) IS NULL OR p.name = :project) "
    "AND NOT EXISTS (SELECT FROM unnest(CAST(:phrases AS text[])) AS f(phrase) "
    "WHERE NOT c.tsv @@ phraseto_tsquery('english', f.phrase)) "
    "AND NOT EXISTS (SELECT FROM unnest(CAST(:excluded AS text[])) AS f(word) "
    "WHERE numnode(plainto_tsquery('english', f.word)) > 0 AND c.tsv @@ plainto_tsquery('english', f.word)) "
    "GROUP BY c.id ORDER BY score DESC, c.id LIMIT :k) "
    "SELECT -s.score AS distance, p.name AS project, d.file_path, d.title, c.id AS chunk_id, c.chunk_index, "
    "c.heading_path, c.char_start, c.char_end, c.chunk_text "
    "FROM scored s JOIN rag.document_chunks c ON c.id = s.id JOIN rag.documents d ON d.id = c.document_id "
    "JOIN rag.projects p ON p.id = d.project_id ORDER BY s.score DESC, p.name, d.file_path, c.chunk_index"
)


def search_words(
    connection: Connection, space: EmbeddingSpace, question: str, *, k: int, project: str | None
) -> Sequence[Any]:
    """The `k` best chunks by BM25, with the score as a negative distance; none where no word is known."""
    query = parse(question)
    found = connection.execute(_WORDS, {"words": query.words, "chunking": space.chunking})
    known = sorted((documents, lexeme) for lexeme, documents in found if documents)
    statistics = connection.execute(_STATISTICS, {"chunking": space.chunking}).one_or_none()
    if not known or statistics is None:
        return []
    chunks, mean = statistics
    values = {
        "lexemes": [lexeme for _, lexeme in known],
        "weights": [math.log(1 + (chunks - n + 0.5) / (n + 0.5)) if n < chunks else 0.01 for n, _ in known],
        "rare": _rarer(known),
        "phrases": list(query.phrases),
        "excluded": list(query.excluded),
        "chunking": space.chunking,
        "project": project,
        "mean": max(mean, 1.0),
        "k1": K1,
        "b": B,
        "k": k,
    }
    return connection.execute(_SEARCH, values).all()


def _rarer(known: Sequence[tuple[int, str]]) -> list[str]:
    """The rarest words, as many as bring no more than MOST_CANDIDATES chunks together; at least one."""
    rare: list[str] = []
    candidates = 0
    for documents, lexeme in known:
        if rare and candidates + documents > MOST_CANDIDATES:
            break
        rare.append(lexeme)
        candidates += documents
    return rare
