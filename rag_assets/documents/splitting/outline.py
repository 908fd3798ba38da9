"""The headings of a document, and the fenced code in it."""

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rag_assets.documents.markup.asciidoc import asciidoc_headings
from rag_assets.documents.markup.heading import Heading, is_dashed_title, is_page_mark, is_title
from rag_assets.documents.markup.latex import latex_headings
from rag_assets.documents.markup.mediawiki import mediawiki_headings
from rag_assets.documents.markup.org import org_headings
from rag_assets.documents.markup.underlined import underlined_titles

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# Readers turn all of these into Markdown.
MARKDOWN_TYPES = frozenset(
    {"markdown", "html", "pdf", "docx", "doc", "odt", "rtf", "pptx", "ppt", "odp", "xlsx", "xls", "ods"}
    | {"epub", "email", "mbox", "mhtml", "msg", "notebook"}
)

FRONT_MATTER = re.compile(r"\A---[ \t\r]*\n(?:.*\n){0,200}?(?:---|\.\.\.)[ \t\r]*(?:\n|\Z)")
# Levels and sizes of letters are guessed from the layout of these.
LAID_OUT_TYPES = frozenset({"pdf"})
CONTAINER_MARK = re.compile(r"^\s{0,3}(?:[-+*>]|\d{1,9}[.)])(?:\s|$)", re.MULTILINE)

# A fence that opens beside the mark of a list item. A closing fence has nothing after it.
FENCE_IN_ITEM = re.compile(r"^ {0,3}(?:[-+*]|\d{1,9}[.)])[ \t]+(?=(?:```|~~~)[^\s`])", re.MULTILINE)
HTML_HEADING = re.compile(r"<h([1-6])(?:\s[^>]{0,500})?>(.{1,2000}?)</h\1\s*>", re.IGNORECASE | re.DOTALL)
HTML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|<(pre|script|style)\b.*?(?:</\1|\Z)", re.IGNORECASE | re.DOTALL)
HTML_TAG = re.compile(r"<[^>]*>")
ATTRIBUTES = re.compile(r"\s*\{:?\s*[#.][^}]*\}$")
MARKUP = re.compile(r"[\\`*_\[\]<&!]")


class Outline:
    """The headings of one document, and the fenced code in it, which should not be split.

    `parents` has the index of the heading above each one, or -1; `section_ends` where the section of each ends with its
    subsections, None at the end of the text.
    """

    def __init__(self, headings: list[Heading], fences: list[tuple[int, int]]) -> None:
        self.headings = headings
        self.fences = fences
        self.starts = [heading.char_start for heading in headings]
        self._fence_starts = [start for start, _ in fences]
        self.parents = list(_parents(headings))
        self.section_ends = _section_ends(headings)
        self._paths: list[tuple[str, ...]] = []
        for heading, parent in zip(headings, self.parents, strict=True):
            self._paths.append((*(self._paths[parent] if parent >= 0 else ()), heading.title))

    def last_before(self, at: int) -> int:
        """The index of the last heading that begins at or before this character, or -1."""
        return bisect_right(self.starts, at) - 1

    def body_path(self, content: str, start: int, end: int) -> tuple[str, ...]:
        """The headings above most of a stretch's text.

        It is the innermost section, with its subsections, that has more than half of the text; where none has, the one
        with the most text of its own.
        """
        first = self.last_before(start)
        if first + 1 == len(self.headings) or self.starts[first + 1] >= end:
            return self._paths[first] if first >= 0 else ()
        sizes = {index: _text_size(content, *span) for index, span in self._bodies(first, start, end)}
        total = sum(sizes.values())
        if not total:
            return self._paths[max(sizes)]  # Headings without text: the last one.
        within: dict[int, int] = {}
        for index, size in sizes.items():
            while index >= 0:
                within[index] = within.get(index, 0) + size
                index = self.parents[index]
        most = [index for index, size in within.items() if size * 2 > total]
        if most:
            return self._paths[max(most, key=lambda index: len(self._paths[index]))]
        if sizes.get(-1, 0) * 2 > total:
            return ()
        return self._paths[max((index for index in sizes if index >= 0), key=lambda index: sizes[index])]

    def _bodies(self, first: int, start: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """The text below each heading of a stretch, from heading `first` on; -1 is the text above all headings."""
        index = first
        while index < len(self.headings) and (index < 0 or self.starts[index] < end):
            body = max(start, self.headings[index].char_end) if index >= 0 else start
            below = self.starts[index + 1] if index + 1 < len(self.headings) else end
            yield index, (body, max(body, min(below, end)))
            index += 1

    def in_fence(self, at: int) -> bool:
        index = bisect_right(self._fence_starts, at) - 1
        return index >= 0 and self.fences[index][0] < at < self.fences[index][1]


def parse_outline(content: str, file_type: str) -> Outline:
    """The headings of a text in the markup of its type; code and data have none."""
    if file_type in MARKDOWN_TYPES:
        return _parse_markdown(content, is_laid_out=file_type in LAID_OUT_TYPES)
    if file_type in _MARKUP_TYPES:
        return Outline(*_MARKUP_TYPES[file_type](content))
    return Outline([], [])


def _underlined(content: str) -> tuple[list[Heading], list[tuple[int, int]]]:
    return list(underlined_titles(content)), []


_MARKUP_TYPES: Final[dict[str, Callable[[str], tuple[list[Heading], list[tuple[int, int]]]]]] = {
    "rst": _underlined,
    "text": _underlined,
    "asciidoc": asciidoc_headings,
    "org": org_headings,
    "latex": latex_headings,
    "mediawiki": mediawiki_headings,
}


def _parents(headings: list[Heading]) -> Iterator[int]:
    """The index of the heading that each one stands under, or -1."""
    above: list[int] = []
    for index, heading in enumerate(headings):
        while above and headings[above[-1]].level >= heading.level:
            above.pop()
        yield above[-1] if above else -1
        above.append(index)


def _section_ends(headings: list[Heading]) -> list[int | None]:
    ends: list[int | None] = [None] * len(headings)
    open_sections: list[int] = []
    for index, heading in enumerate(headings):
        while open_sections and headings[open_sections[-1]].level >= heading.level:
            ends[open_sections.pop()] = heading.char_start
        open_sections.append(index)
    return ends


def _text_size(content: str, start: int, end: int) -> int:
    return sum(map(len, content[start:end].split()))


@cache
def _markdown_parser() -> "MarkdownIt":
    """A parser of blocks without containers: parsing a large table or list as a container takes seconds per MB."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").disable(["list", "blockquote", "reference"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _parse_markdown(content: str, *, is_laid_out: bool) -> Outline:
    # Without this, front matter is parsed as a thematic break and a Setext heading.
    front = FRONT_MATTER.match(content)
    offset = front.end() if front else 0
    lines = [offset, *(m.end() for m in re.compile(r"\r\n?|\n").finditer(content, offset)), len(content)]
    headings: list[Heading] = []
    # Since containers are not parsed, such a fence would only be seen where it closes.
    tokens = _markdown_parser().parse(FENCE_IN_ITEM.sub(lambda match: " " * len(match[0]), content[offset:]))
    for token, inside in pairwise([*tokens, *tokens[:1]]):
        if token.type == "html_block" and token.map:
            headings.extend(_html_headings(token.content, lines[token.map[0]]))
        if token.type == "heading_open" and token.map:
            title = inside.content
            # Since containers are not parsed, "- item" above a line of dashes is taken for a Setext heading.
            if token.markup in "=-" and CONTAINER_MARK.search(title):
                continue
            if not is_title(title):
                continue
            if token.markup == "-" and not is_dashed_title(title, _last_line_length(content, lines, token.map[1])):
                continue
            if is_laid_out and is_page_mark(title):
                continue
            start, end = (lines[min(line, len(lines) - 1)] for line in token.map)
            headings.append(Heading(start, end, int(token.tag[1:]), _strip_markup(title)))
    fences = [token.map for token in tokens if token.type == "fence" and token.map]
    return Outline(headings, [(lines[first], lines[min(stop, len(lines) - 1)]) for first, stop in fences])


def _last_line_length(content: str, lines: list[int], stop: int) -> int:
    return len(content[lines[stop - 1] : lines[min(stop, len(lines) - 1)]].strip())


def _html_headings(block: str, start: int) -> Iterator[Heading]:
    """Headings of HTML within Markdown, as the first of many READMEs is."""
    for match in HTML_HEADING.finditer(HTML_COMMENT.sub(lambda comment: " " * len(comment[0]), block)):
        title = " ".join(html.unescape(HTML_TAG.sub("", match[2])).split())
        if is_title(title):
            yield Heading(start + match.start(), start + match.end(), int(match[1]), title)


@cache
def _inline_parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def _strip_markup(markup: str) -> str:
    """The text of a title without markup: `[text](url)` becomes "text", and `{#anchor}` goes."""
    markup = ATTRIBUTES.sub("", markup)
    if not MARKUP.search(markup):
        return " ".join(markup.split())
    parsed = _inline_parser().parseInline(markup)[0].children or []
    text = "".join(
        " " if child.type.endswith("break") else child.content for child in parsed if child.type != "html_inline"
    )
    return " ".join(text.split())
