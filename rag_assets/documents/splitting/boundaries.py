import unicodedata
from array import array
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semantic_text_splitter import TextSplitter

WIDE_ENDS = "。\N{FULLWIDTH EXCLAMATION MARK}\N{FULLWIDTH QUESTION MARK}"  # no space follows these
SENTENCE_ENDS = ".!?…:;।؟" + WIDE_ENDS
CLOSING_MARKS = "\"')]}»”\N{RIGHT SINGLE QUOTATION MARK}」』*_`"

# The library's time grows with the square of a line's length: 2 MB in one line took it 113 s, in slabs 0.1 s.
SLAB = 2048


class Atoms:
    """The places where a text may be cut: atom i runs from starts[i] to ends[i], and none is blank.

    An atom is a line, or a sentence or a few words of a line that is longer than `size` characters. Between
    two atoms stands white space. Lines are looked at one by one, so that a change in one leaves the others.
    """

    def __init__(self, content: str, size: int) -> None:
        self.starts = array("q")
        self.ends = array("q")
        slabs: list[tuple[int, int]] = []
        for start, end in _lines(content):
            if end - start <= size:
                self._add(content, start, end)
            else:
                slabs.extend(_slabs(content, start, end))
        if slabs:
            self._add_slabs(content, slabs, size)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts, self.ends, strict=True)

    def _add(self, content: str, start: int, end: int) -> None:
        text = content[start:end]
        if not text.isspace():
            if start and content[start - 1] != "\n":  # a line keeps its indentation
                start = end - len(text.lstrip())
                text = content[start:end]
            self.starts.append(start)
            self.ends.append(start + len(text.rstrip()))

    def _add_slabs(self, content: str, slabs: list[tuple[int, int]], size: int) -> None:
        parts = _library(size).chunk_all_indices([content[start:end] for start, end in slabs])
        for (slab_start, _), pieces in zip(slabs, parts, strict=True):
            for offset, text in pieces:
                self._add(content, slab_start + offset, slab_start + offset + len(text))
        # Short lines went in first; both lists are in order, and sorting such a pair is linear.
        pairs = sorted(zip(self.starts, self.ends, strict=True))
        self.starts = array("q", (start for start, _ in pairs))
        self.ends = array("q", (end for _, end in pairs))


def halves(content: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cuts a stretch that is too long at the best place near its middle; one character stays as it is."""
    from semantic_text_splitter import TextSplitter

    text = content[start:end]
    library = TextSplitter(max(1, (len(text) + 1) // 2), trim=False)
    for offset, part in library.chunk_indices(text):
        if not part.isspace():
            lead = len(part) - len(part.lstrip("\n"))
            yield start + offset + lead, start + offset + len(part.rstrip())


def strength(content: str, at: int) -> int:
    """How good a place this is to cut before: 0 inside a word, 5 where a paragraph begins at the margin."""
    before = content[max(0, at - 64) : at]
    text = before.rstrip()
    gap = before[len(text) :]
    newlines = gap.count("\n")
    if newlines >= 2:
        return 4 if content[at : at + 1].isspace() else 5
    last = text.rstrip(CLOSING_MARKS)[-1:]
    ends_sentence = last != "" and last in SENTENCE_ENDS and (gap != "" or last in WIDE_ENDS)
    if newlines or ends_sentence:
        return 3 if newlines and ends_sentence else 2
    return 0 if before[-1:].isalnum() and content[at : at + 1].isalnum() else 1


@cache
def _library(size: int) -> "TextSplitter":
    from semantic_text_splitter import TextSplitter

    return TextSplitter((max(1, size // 4), size), trim=False)


def _lines(content: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(content):
        end = content.find("\n", start) + 1 or len(content)
        yield start, end
        start = end


def _slabs(content: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > SLAB:
        cut = _slab_cut(content, start + SLAB // 2, start + SLAB)
        yield start, cut
        start = cut
    yield start, end


def _slab_cut(content: str, low: int, high: int) -> int:
    for mark in (". ", "。", " ", ","):
        if (found := content.rfind(mark, low, high)) >= 0:
            return found + len(mark)
    # Not between a letter and its accents, nor inside an emoji that is joined of several.
    for cut in range(high, max(low, high - 64), -1):
        if not (unicodedata.combining(content[cut]) or content[cut] in "\u200d\ufe0f" or content[cut - 1] == "\u200d"):
            return cut
    return high
