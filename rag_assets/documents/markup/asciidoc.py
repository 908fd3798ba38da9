"""The headings of AsciiDoc, and its blocks of code."""

import re
from collections.abc import Iterator
from typing import Final

from rag_assets.documents.markup.heading import TITLE_LIMIT, Heading

_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+\Z")
# Listing, literal, pass-through and comment blocks, and fences of Markdown: nothing in them is a heading.
_VERBATIM_BLOCK: Final = re.compile(r"(-{4,}|\.{4,}|\+{4,}|/{4,}|`{3,})(?:[\w,-]*)\s*")
_HEADING: Final = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*?)(?:[ \t]+\1)?\s*")
_TWO_LINES: Final = re.compile(r"([=\-~^+])\1+\s*")
_LEVELS: Final = "=-~^+"
_MARKUP: Final = re.compile(
    r"\[\[[^\]\n]*\]\]|\[[#.%][^\]\n]*\]|(?:https?://\S+?|(?:link|xref|mailto):[^\s\[]*)\[([^\]\n]*)\]"
    r"|<<[^,>\n]*,([^>\n]*)>>|<<([^>\n]*)>>|(?<!\w)([*_`#]{1,2})(\S[^\n]*?)\4(?!\w)"
)


def asciidoc_headings(content: str) -> tuple[list[Heading], list[tuple[int, int]]]:
    """The headings (`= Title`, `== Section`, and titles underlined by `----`), and where blocks of code stand."""
    headings: list[Heading] = []
    blocks: list[tuple[int, int]] = []
    delimiter, block_start = "", 0
    above = before = ""
    above_start = 0
    for start, end, line in _lines(content):
        text = line.rstrip()
        if delimiter:
            if text == delimiter:
                blocks.append((block_start, end))
                delimiter = ""
        elif _is_two_line_title(before, above, text):
            level = _LEVELS.index(text[0]) + 1
            headings.append(Heading(above_start, end, level, _strip_markup(above)))
            text = ""
        elif match := _VERBATIM_BLOCK.fullmatch(line):
            delimiter, block_start = match[1], start
        elif (match := _HEADING.fullmatch(line)) and len(match[2]) <= TITLE_LIMIT:
            headings.append(Heading(start, end, len(match[1]), _strip_markup(match[2])))
        before, above, above_start = above, text, start
    return headings, blocks


def _lines(content: str) -> Iterator[tuple[int, int, str]]:
    for match in _LINE.finditer(content):
        yield match.start(), match.end(), match[0]


def _is_two_line_title(before: str, title: str, underline: str) -> bool:
    """The underline is as long as its title, give or take a character; a block's attributes and title are none."""
    if len(underline) < 2 or not title or title[0] in "[.:/|=+-*" or title[0].isspace() or before.strip():
        return False
    return _TWO_LINES.fullmatch(underline) is not None and abs(len(title) - len(underline)) <= 1


def _strip_markup(title: str) -> str:
    for _ in range(2):  # A link may hold bold text.
        title = _MARKUP.sub(lambda match: next((part for part in (*match.groups()[:3], match[5]) if part), ""), title)
    return " ".join(title.split())
