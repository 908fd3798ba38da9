"""The places where a text may be split, and how good each of them is."""

import unicodedata
from array import array
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semantic_text_splitter import TextSplitter

WIDE_ENDS = "。\N{FULLWIDTH EXCLAMATION MARK}\N{FULLWIDTH QUESTION MARK}"  # not followed by a space
SENTENCE_ENDS = ".!?…:;।؟" + WIDE_ENDS
CLOSING_MARKS = "\"')]}»”\N{RIGHT SINGLE QUOTATION MARK}」』*_`"

# The time of semantic-text-splitter grows with the square of a line's length: 2 MB in one line took 113 s, in slabs of
# so many characters 0.1 s.
SLAB_CHARS = 2048


class Atoms:
    """The pieces that a text is never split inside of: atom i is content[starts[i]:ends[i]], and none is blank.

    An atom is a line, or a sentence or a few words of a line that is longer than `size` characters, or a field of a row
    of a table: `fields` gives where those of the line between two characters begin, if it may be cut. Atoms are
    separated by white space. Each line is divided on its own, so that a change in one does not affect the others.
    """

    def __init__(self, content: str, size: int, fields: Callable[[int, int], list[int]] | None = None) -> None:
        self.starts = array("q")
        self.ends = array("q")
        slabs: list[tuple[int, int]] = []
        for start, end in _lines(content):
            cuts = fields(start, end)[1:] if fields else []
            if end - start <= size and not cuts:
                self._add(content, start, end)
                continue
            for part_start, part_end in pairwise([start, *cuts, end]):
                if part_end - part_start <= size:
                    self._add(content, part_start, part_end)
                else:
                    slabs.extend(_slabs(content, part_start, part_end))
        if slabs:
            self._add_slabs(content, slabs, size)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts, self.ends, strict=True)

    def _add(self, content: str, start: int, end: int) -> None:
        text = content[start:end]
        if not text.isspace():
            if start and content[start - 1] != "\n":  # A line keeps its indentation.
                start = end - len(text.lstrip())
                text = content[start:end]
            self.starts.append(start)
            self.ends.append(start + len(text.rstrip()))

    def _add_slabs(self, content: str, slabs: list[tuple[int, int]], size: int) -> None:
        parts = _text_splitter(size).chunk_all_indices([content[start:end] for start, end in slabs])
        for (slab_start, _), pieces in zip(slabs, parts, strict=True):
            for offset, text in pieces:
                self._add(content, slab_start + offset, slab_start + offset + len(text))
        # Short lines were added first. Both runs are sorted, so sorting the whole takes linear time.
        pairs = sorted(zip(self.starts, self.ends, strict=True))
        self.starts = array("q", (start for start, _ in pairs))
        self.ends = array("q", (end for _, end in pairs))


def split_in_half(content: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Split a stretch that is too long at the best place near its middle. A single character stays as it is."""
    from semantic_text_splitter import TextSplitter

    text = content[start:end]
    splitter = TextSplitter(max(1, (len(text) + 1) // 2), trim=False)
    for offset, part in splitter.chunk_indices(text):
        if not part.isspace():
            lead = len(part) - len(part.lstrip("\n"))
            yield start + offset + lead, start + offset + len(part.rstrip())


def boundary_strength(content: str, at: int) -> int:
    """How good it is to split before this character: 0 inside a word, 5 where a paragraph begins at the margin."""
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
def _text_splitter(size: int) -> "TextSplitter":
    from semantic_text_splitter import TextSplitter

    return TextSplitter((max(1, size // 4), size), trim=False)


def _lines(content: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(content):
        end = content.find("\n", start) + 1 or len(content)
        yield start, end
        start = end


def _slabs(content: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > SLAB_CHARS:
        slab_end = _slab_end(content, start + SLAB_CHARS // 2, start + SLAB_CHARS)
        yield start, slab_end
        start = slab_end
    yield start, end


def _slab_end(content: str, low: int, high: int) -> int:
    for mark in (". ", "。", " ", ","):
        if (found := content.rfind(mark, low, high)) >= 0:
            return found + len(mark)
    # Neither between a letter and its accents, nor inside an emoji of several joined characters.
    for end in range(high, max(low, high - 64), -1):
        if not (unicodedata.combining(content[end]) or content[end] in "\u200d\ufe0f" or content[end - 1] == "\u200d"):
            return end
    return high
