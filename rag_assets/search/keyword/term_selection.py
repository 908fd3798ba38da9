"""Choose the chunks to score by BM25: the condition that limits them to about a wanted number.

A chunk is a candidate when the terms that it shares with the query have enough weight together: one rare term, or
several common ones. This is the threshold of "weak AND" (Broder et al., "Efficient Query Evaluation using a Two-Level
Retrieval Process", 2003). Other chunks share terms of less weight.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

# Only the rarest terms take part: with more of them, the condition would cost more than it saves.
MAX_DECIDING_TERMS = 7


@dataclass(frozen=True, slots=True)
class Term:
    """A lexeme of the query, and the number of chunks that contain it (its document frequency).

    Other forms of a word have a `share` of its weight, and may be weighed by another frequency than their own. All
    chunks with an `implied` term have another one of the query as well, of more weight.
    """

    lexeme: str
    documents: int
    share: float = 1.0
    weighed_by: int | None = None
    is_implied: bool = False

    def idf(self, chunks: int) -> float:
        """Inverse document frequency among `chunks` chunks, by Lucene's formula, which is never negative."""
        documents = min(self.documents if self.weighed_by is None else self.weighed_by, chunks)
        return self.share * math.log(1 + (chunks - documents + 0.5) / (documents + 0.5))


def candidate_tsquery(terms: Sequence[Term], chunks: int, most: int) -> str:
    """A condition in `tsquery` syntax that about `most` chunks meet, if terms occur independently of each other.

    `terms` are sorted, the rarest first. Where at most `most` chunks contain any of them, one term is enough.
    """
    terms = [term for term in terms if not term.is_implied]
    if sum(term.documents for term in terms) <= most:
        return " | ".join(quote_lexeme(term.lexeme) for term in terms)
    deciding = terms[:MAX_DECIDING_TERMS]
    threshold = _threshold(deciding, chunks, most)
    sets = _minimal_sets([term.idf(chunks) for term in deciding], threshold)
    return " | ".join(f"({' & '.join(quote_lexeme(deciding[at].lexeme) for at in chosen)})" for chosen in sets)


def quote_lexeme(lexeme: str) -> str:
    """The lexeme as a literal of `tsquery`."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def _threshold(terms: Sequence[Term], chunks: int, most: int) -> float:
    """The least total weight that at most `most` chunks are expected to reach."""
    weights = [term.idf(chunks) for term in terms]
    shares = [min(1.0, term.documents / max(chunks, 1)) for term in terms]
    expected = []
    for size in range(1, len(terms) + 1):
        for chosen in combinations(range(len(terms)), size):
            share = math.prod(shares[at] if at in chosen else 1 - shares[at] for at in range(len(terms)))
            expected.append((sum(weights[at] for at in chosen), share * chunks))
    expected.sort(reverse=True)
    threshold, expected_chunks = expected[0]
    for weight, count in expected[1:]:
        expected_chunks += count
        if expected_chunks > most:
            break
        threshold = weight
    return threshold


def _minimal_sets(weights: Sequence[float], threshold: float) -> list[tuple[int, ...]]:
    """The sets of terms whose weight reaches the threshold, and does not without any one of them."""
    # Sums of the same weights in another order differ in their last digits.
    threshold -= 1e-9
    found = []
    for size in range(1, len(weights) + 1):
        for chosen in combinations(range(len(weights)), size):
            total = sum(weights[at] for at in chosen)
            if total >= threshold and total - min(weights[at] for at in chosen) < threshold:
                found.append(chosen)
    return found
