"""The syntax of keyword queries: words, "quoted phrases", and -"phrases" to exclude."""

import re
from dataclasses import dataclass
from typing import Literal

# About ten pages. A model reads only the beginning of such a text, and searching for a phrase of that length takes half
# a second.
MAX_QUERY_CHARS = 20_000

Operators = Literal["quoted", "all", "none"]

# Word processors replace straight quotes.
_CURLY = str.maketrans("“”„‟«»", '""""""')
# A quote after a letter or digit opens no phrase: 3.5" is a length.
_QUOTED = re.compile(r'(?:(?<=\s)|^)-"([^"]*)"|(?<![0-9A-Za-z])"([^"]*)"')
# A minus before a number is probably a sign, and before a single letter an option of a program: neither excludes.
_EXCLUDED = re.compile(r"(?:(?<=\s)|^)-(?!(?:[\d.,]+|[A-Za-z])[?!,;:.)]*(?:\s|$))(?=\w)(\S+)")


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """`words` are scored, including those of phrases. A hit contains all `phrases` and none of `excluded`."""

    words: str
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


def parse_query(text: str, operators: Operators = "quoted") -> ParsedQuery:
    """Parse a query. Never fails: malformed syntax counts as words.

    With `operators` "quoted", a minus excludes only before a quote: before a bare word it may be the option of a
    program. With "all" it excludes words as well. With "none" there are only words.
    """
    if operators == "none":
        return ParsedQuery(text)
    phrases: list[str] = []
    excluded: list[str] = []

    def take_phrase(match: re.Match[str]) -> str:
        if match[1] is not None:
            excluded.append(match[1])
            return " "
        phrases.append(match[2])
        return f" {match[2]} "

    def take_words(words: str) -> str:
        if operators != "all":
            return words
        excluded.extend(_EXCLUDED.findall(words))
        return _EXCLUDED.sub(" ", words)

    # A minus inside a phrase excludes nothing.
    pieces = []
    at = 0
    straight = text.translate(_CURLY)
    for match in _QUOTED.finditer(straight):
        pieces += [take_words(straight[at : match.start()]), take_phrase(match)]
        at = match.end()
    pieces.append(take_words(straight[at:]))
    return ParsedQuery("".join(pieces), tuple(filter(str.strip, phrases)), tuple(filter(str.strip, excluded)))
