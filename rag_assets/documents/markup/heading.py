import re
from dataclasses import dataclass
from typing import Final

TITLE_LIMIT: Final = 300  # characters; a longer "title" is a paragraph

_CHECKBOX: Final = re.compile("[\N{BALLOT BOX}\N{BALLOT BOX WITH CHECK}\N{BALLOT BOX WITH X}]")
_PAGE_MARK: Final = re.compile(r"(?:page|seite|p\.)?\s*\d+(?:\s*(?:of|von|/)\s*\d+)?|.*\|\s*\d+", re.IGNORECASE)
# A sentence, or a line of metadata, above a line of dashes that separates what follows.
_SENTENCE: Final = re.compile(r"[.;,][\"')*_]*$|^[A-Za-z_][\w-]*:\s")
_UNDERLINE_SHARE: Final = 0.7  # of the title's length


@dataclass(frozen=True, slots=True)
class Heading:
    """A title at content[char_start:char_end], with its underline and overline; level 1 is the highest."""

    char_start: int
    char_end: int
    level: int
    title: str


def is_title(title: str) -> bool:
    """Whether a line in the place of a heading can be one: it has words, and is no line of a form."""
    return len(title) <= TITLE_LIMIT and any(map(str.isalnum, title)) and not _CHECKBOX.search(title)


def is_page_mark(title: str) -> bool:
    """Whether it is the number of a page, or a running header or footer that ends with one."""
    return _PAGE_MARK.fullmatch(title) is not None


def is_dashed_title(title: str, dashes: int) -> bool:
    """Whether the paragraph above a line of so many dashes is a title, and the line does not separate what follows."""
    if "|" in title or "\n" in title:
        return False
    return dashes >= _UNDERLINE_SHARE * len(title) or not _SENTENCE.search(title.rstrip())
