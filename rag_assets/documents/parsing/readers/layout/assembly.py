"""The blocks of all pages to one Markdown text, with the place where each page begins."""

import re
from collections.abc import Sequence

from rag_assets.documents.parsing.readers.layout.geometry import Segment
from rag_assets.documents.parsing.readers.layout.headings import Bookmark, mark_headings
from rag_assets.documents.parsing.readers.layout.hyphenation import Hyphenation
from rag_assets.documents.parsing.readers.layout.paragraphs import (
    TextBlock,
    TextLine,
    bullets_to_markdown,
    make_blocks,
    paragraphs,
)
from rag_assets.documents.text import clean

_SENTENCE_END = re.compile("[.!?:;…。\\uff01\\uff1f]['\"\\u201d\\u2019»)\\]]*$")
_MARKDOWN_LINE = re.compile(r"(?=#{1,6} |```|~~~)")
_RULE_LINE = re.compile(r"[-=_*\s]{3,}")
_DOT_LEADER = re.compile(r"(?:[.·…]\s?){5,}")


def assemble(pages: Sequence[list[Segment]], bookmarks: Sequence[Bookmark]) -> tuple[str, tuple[int, ...]]:
    """The text, and the offset in it at which each page begins."""
    blocks = [block for number, segments in enumerate(pages) for block in make_blocks(segments, number)]
    if _share_of_code(blocks) > 0.5:
        # A typescript, in which nothing is code.
        for block in blocks:
            block.kind = "text" if block.kind == "code" else block.kind
    blocks = mark_headings(blocks, bookmarks)
    writer = _Writer(Hyphenation(line.text for block in blocks for line in block.lines))
    for block in blocks:
        writer.add(block)
    return writer.finish(len(pages))


class _Writer:
    """Joins blocks to a text; the last paragraph stays open for one that continues it on the next page."""

    def __init__(self, hyphenation: Hyphenation) -> None:
        self._join = hyphenation.join
        self._parts: list[str] = []
        self._length = 0
        self._open = ""
        self._last: TextBlock | None = None
        self._starts: dict[int, int] = {}

    def add(self, block: TextBlock) -> None:
        if block.level:
            self._begin(block, f"{'#' * block.level} {self._paragraph(block.lines)}", "\n\n")
        elif block.kind == "table":
            self._add_table(block)
        elif block.kind == "code" and len(block.lines) > 1:
            self._begin(block, _fenced(block.lines), "\n\n")
        elif block.kind in {"rows", "code"}:
            lines = [text for line in block.lines if (text := _tidy(line.text))]
            self._begin(block, "\n".join(map(_escape, lines)), "\n\n")
        else:
            for number, paragraph in enumerate(paragraphs(block)):
                text = self._paragraph(paragraph)
                if number == 0 and self._continues(block, text):
                    joined = self._join(self._open, text)
                    self._starts.setdefault(block.page, self._length + len(joined) - len(text))
                    self._open = joined
                else:
                    self._begin(block, _escape(bullets_to_markdown(text)), "\n" if number else "\n\n")
        self._last = block

    def finish(self, pages: int) -> tuple[str, tuple[int, ...]]:
        text = "".join([*self._parts, self._open, "\n" if self._open else ""])
        starts, following = [], len(text)
        for page in reversed(range(pages)):
            following = self._starts.get(page, following)
            starts.append(following)
        if starts:
            starts[-1] = 0
        return text, tuple(reversed(starts))

    def _begin(self, block: TextBlock, text: str, separator: str) -> None:
        if not text:
            return
        if self._open:
            self._parts.append(self._open + separator)
            self._length += len(self._parts[-1])
        self._starts.setdefault(block.page, self._length)
        self._open = text

    def _paragraph(self, lines: Sequence[TextLine]) -> str:
        text = ""
        for line in lines:
            text = self._join(text, _tidy(line.text))
        return text

    def _continues(self, block: TextBlock, text: str) -> bool:
        """Whether this block goes on with the last paragraph, which stood in another column or on another page."""
        last = self._last
        return (
            last is not None
            and last.kind == block.kind == "text"
            and not last.level
            and abs(last.size - block.size) < 0.1 * block.size
            and last.bold == block.bold
            and bool(self._open and text)
            and text[0].islower()
            and not _SENTENCE_END.search(self._open[-8:])
            and (block.page != last.page or block.lines[0].top < last.lines[-1].top)
        )

    def _add_table(self, block: TextBlock) -> None:
        table, last = block.table, self._last
        assert table is not None
        if (
            last is not None
            and last.table is not None
            and last.page + 1 == block.page
            and _same_columns(last.table, table)
        ):
            # The table goes on on the next page, where its heading may be repeated.
            head, _, *rows = table.text.split("\n")
            rows = rows if head == last.table.text.split("\n", 1)[0] else [head, *rows]
            if last.table.table_rows == 1:
                # Its heading alone stood on the page before.
                self._open = last.table.text
            table.table_rows += last.table.table_rows
            self._begin(block, "\n".join(rows), "\n")
            table.text = "\n".join([last.table.text.split("\n", 1)[0], *rows])
        elif table.table_rows == 1:
            self._begin(block, table.text.split("\n", 1)[0].strip("| ").replace(" | ", "\n"), "\n\n")
        else:
            self._begin(block, table.text, "\n\n")


def _same_columns(one: Segment, other: Segment) -> bool:
    pairs = zip(one.table_columns, other.table_columns, strict=False)
    return len(one.table_columns) == len(other.table_columns) and all(abs(a - b) <= 4 for a, b in pairs)


def _share_of_code(blocks: Sequence[TextBlock]) -> float:
    sizes = [(block.kind == "code", sum(len(line.text) for line in block.lines)) for block in blocks]
    return sum(size for code, size in sizes if code) / max(1, sum(size for _, size in sizes))


def _fenced(lines: Sequence[TextLine]) -> str:
    left = min(line.left for line in lines)
    widths = [(line.right - line.left) / len(line.text) for line in lines if line.text]
    width = sorted(widths)[len(widths) // 2] if widths else 1.0
    texts = [" " * round((line.left - left) / max(width, 1e-6)) + line.text for line in lines]
    return "\n".join(["```", *texts, "```"])


def _tidy(line: str) -> str:
    text = clean(line)
    if not text or (text[0] in "-=_*" and _RULE_LINE.fullmatch(text)):
        return ""
    return _DOT_LEADER.sub("… ", text) if ".." in text or ". ." in text or "··" in text else text


def _escape(text: str) -> str:
    return f"\\{text}" if _MARKDOWN_LINE.match(text) else text
