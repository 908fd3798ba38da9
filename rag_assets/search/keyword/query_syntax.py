"""What a question asks for: words, "phrases in quotes", and -words or -"phrases" that must not be there."""

import re
from dataclasses import dataclass

# Ten pages: a model reads the beginning of them, and a quoted phrase of so many words takes half a second to look for.
MAX_QUERY_CHARS = 20_000

# Word processors turn quotes into pairs.
_CURLY = str.maketrans("“”„‟«»", '""""""')
_QUOTED = re.compile(r'(?:(?<=\s)|^)-"([^"]*)"|"([^"]*)"')
# A minus before a number is more often a sign than a wish, and before a single letter an option of a program.
_EXCLUDED = re.compile(r"(?:(?<=\s)|^)-(?!(?:[\d.,]+|[A-Za-z])[?!,;:.)]*(?:\s|$))(?=\w)(\S+)")


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """`words` are scored, those of phrases too; `phrases` must and `excluded` must not stand in a chunk."""

    words: str
    phrases: tuple[str, ...]
    excluded: tuple[str, ...]


def parse_query(question: str) -> ParsedQuery:
    """Never fails: what is no syntax is words."""
    phrases: list[str] = []
    excluded: list[str] = []

    def take_phrase(match: re.Match[str]) -> str:
        if match[1] is not None:
            excluded.append(match[1])
            return " "
        phrases.append(match[2])
        return f" {match[2]} "

    # Excluded words are looked for outside of phrases only: a phrase may hold a minus.
    pieces = []
    at = 0
    straight = question.translate(_CURLY)
    for match in _QUOTED.finditer(straight):
        pieces += [_without_excluded(straight[at : match.start()], excluded), take_phrase(match)]
        at = match.end()
    pieces.append(_without_excluded(straight[at:], excluded))
    return ParsedQuery("".join(pieces), tuple(filter(str.strip, phrases)), tuple(filter(str.strip, excluded)))


def _without_excluded(words: str, excluded: list[str]) -> str:
    excluded.extend(_EXCLUDED.findall(words))
    return _EXCLUDED.sub(" ", words)
