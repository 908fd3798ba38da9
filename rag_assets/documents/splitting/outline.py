"""The headings of a document, and the fenced code in it."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# Readers turn all of these into Markdown.
MARKDOWN_TYPES = frozenset(
    {"markdown", "html", "pdf", "docx", "doc", "odt", "rtf", "pptx", "ppt", "odp", "xlsx", "xls", "ods"}
    | {"epub", "email", "mbox", "mhtml", "msg", "notebook"}
)
UNDERLINED_TYPES = frozenset({"rst", "text"})

TITLE_LIMIT = 300  # characters; a longer "title" is a paragraph above a line of dashes
UNDERLINE = re.compile(r"^([!-/:-@\[-`{-~])\1{2,}[ \t]*$", re.MULTILINE)
FRONT_MATTER = re.compile(r"\A---[ \t\r]*\n(?:.*\n){0,200}?(?:---|\.\.\.)[ \t\r]*(?:\n|\Z)")
CONTAINER_MARK = re.compile(r"^\s{0,3}(?:[-+*>]|\d{1,9}[.)])(?:\s|$)", re.MULTILINE)

MARKUP = re.compile(r"[\\`*_\[\]<&!]")


@dataclass(frozen=True, slots=True)
class Heading:
    """A title at content[char_start:char_end], with its underline and overline; level 1 is the highest."""

    char_start: int
    char_end: int
    level: int
    title: str


class Outline:
    """The headings of one document, and the fenced code in it, which should not be split."""

    def __init__(self, headings: list[Heading], fences: list[tuple[int, int]]) -> None:
        self.headings = headings
        self.fences = fences
        self.starts = [heading.char_start for heading in headings]
        self._fence_starts = [start for start, _ in fences]
        self._paths = list(_heading_paths(headings))

    def last_before(self, at: int) -> int:
        """The index of the last heading that begins at or before this character, or -1."""
        return bisect_right(self.starts, at) - 1

    def body_path(self, content: str, start: int, end: int) -> tuple[str, ...]:
        """The headings above the first text of a stretch, including headings at its beginning."""
        index = self.last_before(start)
        text_start = max(start, self.headings[index].char_end) if index >= 0 else start
        while index + 1 < len(self.headings) and self.starts[index + 1] < end:
            if content[text_start : self.starts[index + 1]].strip():
                break
            index += 1
            text_start = self.headings[index].char_end
        return self._paths[index] if index >= 0 else ()

    def in_fence(self, at: int) -> bool:
        index = bisect_right(self._fence_starts, at) - 1
        return index >= 0 and self.fences[index][0] < at < self.fences[index][1]


def parse_outline(content: str, file_type: str) -> Outline:
    """The headings of Markdown or the underlined titles of reStructuredText and plain text; none of code and data."""
    if file_type in MARKDOWN_TYPES:
        return _parse_markdown(content)
    if file_type in UNDERLINED_TYPES:
        return Outline(list(_underlined_titles(content)), [])
    return Outline([], [])


def _heading_paths(headings: list[Heading]) -> Iterator[tuple[str, ...]]:
    above: list[Heading] = []
    for heading in headings:
        while above and above[-1].level >= heading.level:
            above.pop()
        above.append(heading)
        yield tuple(part.title for part in above)


@cache
def _markdown_parser() -> "MarkdownIt":
    """A parser of blocks without containers: parsing a large table or list as a container takes seconds per MB."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").disable(["list", "blockquote", "reference"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _parse_markdown(content: str) -> Outline:
    # Without this, front matter is parsed as a thematic break and a Setext heading.
    front = FRONT_MATTER.match(content)
    offset = front.end() if front else 0
    lines = [offset, *(m.end() for m in re.compile(r"\r\n?|\n").finditer(content, offset)), len(content)]
    headings: list[Heading] = []
    tokens = _markdown_parser().parse(content[offset:])
    for token, inside in pairwise(tokens):
        if token.type == "heading_open" and token.map:
            title = inside.content
            # Since containers are not parsed, "- item" above a line of dashes is taken for a Setext heading.
            if len(title) > TITLE_LIMIT or (token.markup in "=-" and CONTAINER_MARK.search(title)):
                continue
            start, end = (lines[min(line, len(lines) - 1)] for line in token.map)
            headings.append(Heading(start, end, int(token.tag[1:]), _strip_markup(title)))
    fences = [token.map for token in tokens if token.type == "fence" and token.map]
    return Outline(headings, [(lines[first], lines[min(stop, len(lines) - 1)]) for first, stop in fences])


@cache
def _inline_parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def _strip_markup(markup: str) -> str:
    """The text of a title without markup: `[text](url)` becomes "text"."""
    if not MARKUP.search(markup):
        return " ".join(markup.split())
    parsed = _inline_parser().parseInline(markup)[0].children or []
    text = "".join(" " if child.type.endswith("break") else child.content for child in parsed)
    return " ".join(text.split())


def _underlined_titles(content: str) -> Iterator[Heading]:
    """Titles above a line of one punctuation mark. Levels follow from the order in which the styles first appear."""
    levels: dict[tuple[str, bool], int] = {}
    for match in UNDERLINE.finditer(content):
        title_start = content.rfind("\n", 0, max(match.start() - 1, 0)) + 1
        title = content[title_start : max(match.start() - 1, 0)]
        width = len(title.rstrip())
        if not 0 < width <= min(len(match[0].rstrip()), TITLE_LIMIT) or UNDERLINE.match(title):
            continue
        above_start = content.rfind("\n", 0, max(title_start - 1, 0)) + 1
        above = content[above_start : max(title_start - 1, 0)]
        overlined = above.rstrip() == match[0].rstrip()
        # A title has an empty line above it; with text there, this is a table or the end of a paragraph.
        if not overlined and (above.strip() or title[0].isspace()):
            continue
        level = levels.setdefault((match[1], overlined), len(levels) + 1)
        start = above_start if overlined else title_start
        yield Heading(start, match.end(), level, " ".join(title.split()))
