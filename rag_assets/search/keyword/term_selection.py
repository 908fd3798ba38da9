"""Which chunks are worth scoring: as few as can be told from how common the words of a question are.

A chunk is worth it when the words that it shares with the question weigh enough together, whichever they are: one
rare word, or several common ones (the threshold of "weak AND": Broder et al., "Efficient Query Evaluation using a
Two-Level Retrieval Process", 2003). What is left out shares less than that with the question.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

# The rarest words decide; with more of them, the conditions would outgrow what they save.
MAX_DECIDING_TERMS = 7


@dataclass(frozen=True, slots=True)
class Term:
    """A lexeme of the question, and in how many chunks it stands."""

    lexeme: str
    documents: int

    def weight(self, chunks: int) -> float:
        """Lucene's inverse document frequency, which is never negative."""
        known = min(self.documents, chunks)
        return math.log(1 + (chunks - known + 0.5) / (known + 0.5))


def candidate_tsquery(words: Sequence[Term], chunks: int, most: int) -> str:
    """The condition, as text for `tsquery`, that about `most` of the chunks meet if words are strewn independently.

    `words` are in order, the rarest first. Where no more than `most` chunks have any of them, having one is enough.
    """
    if sum(word.documents for word in words) <= most:
        return " | ".join(quote_lexeme(word.lexeme) for word in words)
    deciding = words[:MAX_DECIDING_TERMS]
    enough = _threshold(deciding, chunks, most)
    sets = _minimal_sets([word.weight(chunks) for word in deciding], enough)
    return " | ".join(f"({' & '.join(quote_lexeme(deciding[at].lexeme) for at in chosen)})" for chosen in sets)


def quote_lexeme(lexeme: str) -> str:
    """A lexeme as `tsquery` reads it."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def _threshold(words: Sequence[Term], chunks: int, most: int) -> float:
    """The least weight that no more than `most` of the chunks are expected to reach."""
    weights = [word.weight(chunks) for word in words]
    shares = [min(1.0, word.documents / max(chunks, 1)) for word in words]
    expected = []
    for size in range(1, len(words) + 1):
        for chosen in combinations(range(len(words)), size):
            share = math.prod(shares[at] if at in chosen else 1 - shares[at] for at in range(len(words)))
            expected.append((sum(weights[at] for at in chosen), share * chunks))
    expected.sort(reverse=True)
    enough, met = expected[0]
    for weight, count in expected[1:]:
        met += count
        if met > most:
            break
        enough = weight
    return enough


def _minimal_sets(weights: Sequence[float], enough: float) -> list[tuple[int, ...]]:
    """The sets of words that weigh enough and would not without any one of theirs."""
    # Sums of the same weights in another order differ in their last digits.
    enough -= 1e-9
    found = []
    for size in range(1, len(weights) + 1):
        for chosen in combinations(range(len(weights)), size):
            total = sum(weights[at] for at in chosen)
            if total >= enough and total - min(weights[at] for at in chosen) < enough:
                found.append(chosen)
    return found
