"""The syntax of keyword queries: words, "quoted phrases", and -words or -"phrases" to exclude."""

import re
from dataclasses import dataclass

# About ten pages. A model reads only the beginning of such a text, and searching for a phrase of that length takes half
# a second.
MAX_QUERY_CHARS = 20_000

# Word processors replace straight quotes.
_CURLY = str.maketrans("“”„‟«»", '""""""')
_QUOTED = re.compile(r'(?:(?<=\s)|^)-"([^"]*)"|"([^"]*)"')
# A minus before a number is probably a sign, and before a single letter an option of a program: neither excludes.
_EXCLUDED = re.compile(r"(?:(?<=\s)|^)-(?!(?:[\d.,]+|[A-Za-z])[?!,;:.)]*(?:\s|$))(?=\w)(\S+)")


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """`words` are scored, including those of phrases. A hit contains all `phrases` and none of `excluded`."""

    words: str
    phrases: tuple[str, ...]
    excluded: tuple[str, ...]


def parse_query(text: str) -> ParsedQuery:
    """Parse a query. Never fails: malformed syntax counts as words."""
    phrases: list[str] = []
    excluded: list[str] = []

    def take_phrase(match: re.Match[str]) -> str:
        if match[1] is not None:
            excluded.append(match[1])
            return " "
        phrases.append(match[2])
        return f" {match[2]} "

    # A minus inside a phrase excludes nothing.
    pieces = []
    at = 0
    straight = text.translate(_CURLY)
    for match in _QUOTED.finditer(straight):
        pieces += [_without_excluded(straight[at : match.start()], excluded), take_phrase(match)]
        at = match.end()
    pieces.append(_without_excluded(straight[at:], excluded))
    return ParsedQuery("".join(pieces), tuple(filter(str.strip, phrases)), tuple(filter(str.strip, excluded)))


def _without_excluded(words: str, excluded: list[str]) -> str:
    excluded.extend(_EXCLUDED.findall(words))
    return _EXCLUDED.sub(" ", words)
