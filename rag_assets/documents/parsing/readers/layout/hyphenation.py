"""Words that were divided at the end of a line are joined; a hyphen of their own stays."""

import re
from collections.abc import Iterable

_LINE_END_HYPHEN = re.compile("(?<=\\w)[-\u2010\u00ad]$")
_LONGEST_WORD = 60
_FIRST_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_LAST_WORD = re.compile(r"[^\W_]+(?:[-\u2010][^\W_]+)*$")
_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
# First halves that stand with a hyphen far more often than joined.
_HYPHENATED_PREFIXES = frozenset(
    [
        "all",
        "cross",
        "half",
        "high",
        "long",
        "low",
        "mid",
        "non",
        "self",
        "semi",
        "short",
        "well",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "first",
        "second",
        "third",
    ]
)


class Hyphenation:
    """Tells apart `effi-/cient` and `well-/known` by the words that the document has inside of its lines."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._words: set[str] | None = None
        self._lines = lines

    def join(self, above: str, below: str) -> str:
        """Two lines of a paragraph as one text."""
        found = _LINE_END_HYPHEN.search(above[-2:])
        if not above or not below:
            return above or below
        if found is None:
            # Chinese and Japanese have no spaces between words.
            return above + below if _is_wide(above[-1]) and _is_wide(below[0]) else f"{above} {below}"
        stem = above[:-1]
        if found[0] == "\u00ad":
            return stem + below
        if self._keeps_hyphen(stem, below):
            return f"{stem}-{below}"
        return stem + below

    def _keeps_hyphen(self, stem: str, below: str) -> bool:
        first, last = _FIRST_WORD.match(below), _LAST_WORD.search(stem[-_LONGEST_WORD:])
        if first is None or last is None or not below[0].islower() or not last[0][-1].isalpha():
            return True
        before, after = last[0].lower(), first[0].lower()
        words = self._known_words()
        if before + after in words:
            return False
        # In `state-of-the-/art` the rest of the hyphens shows what the last one is.
        return (
            f"{before}-{after}" in words
            or "-" in before
            or len(before) == 1
            or before in _HYPHENATED_PREFIXES
            or (before in words and after in words and len(before) > 3 and len(after) > 3)
        )

    def _known_words(self) -> set[str]:
        if self._words is None:
            words: set[str] = set()
            goes_on = False
            for line in self._lines:
                found = _WORD.findall(line)
                divided = _LINE_END_HYPHEN.search(line[-2:]) is not None
                # The halves of divided words are none.
                words.update(found[goes_on : len(found) - divided])
                goes_on = divided
            self._words = {word.lower().replace("\u2010", "-") for word in words}
        return self._words


def _is_wide(character: str) -> bool:
    return "\u2e80" <= character <= "\ud7ff" or "\uf900" <= character <= "\ufaff" or "\uff00" <= character <= "\uff60"
