"""The words of a page with their boxes, as PDFium reads them."""

import ctypes
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nlargest
from itertools import pairwise
from typing import Any

from rag_assets.documents.parsing.readers.layout.geometry import Box, Word, median, union, upright
from rag_assets.documents.parsing.readers.pdf.turned_text import read_turned_words

# PDFium writes U+FFFE for the hyphen of a word divided at the end of a line, and no line end after it.
_LINE = re.compile(r"[^\r\n\ufffe]+\ufffe?|\ufffe")
_WORD = re.compile(r"[^\s\x00\ufffe]+\ufffe?|\ufffe")
_LIGATURES = {0xFB00 + index: text for index, text in enumerate(("ff", "fi", "fl", "ffi", "ffl", "st", "st"))}
# Symbol fonts have their bullets and ticks in the private use area.
_REPLACED = str.maketrans(
    _LIGATURES | {0xFFFE: "-"} | dict.fromkeys((0xF0B7, 0xF0A7, 0xF076, 0xF0D8, 0xF06C, 0xF0FC), "•")
)
# What stands for glyphs of which a font does not tell the letter: private use, but for symbol fonts, and controls.
_UNKNOWN = re.compile("[\ufffd\ue000-\uefff\uf100-\uf8ff\x01-\x08\x0e-\x1f]")
_MOST_UNKNOWN = 0.3
_SURROGATE = re.compile("[\ud800-\udfff]")
# Ghostscript swaps the bytes of the letters of a ligature: U+6600 for f, U+6900 for i. Some of them are Chinese too.
_SWAPPED_FIRST = "\u6600\u7400"
_SWAPPED = re.compile("(?<![\u3000-\u9fff])[\u6600\u7400][\u6600\u6900\u6a00\u6c00\u7400]{1,2}(?![\u3000-\u9fff])")
_SOFT_HYPHEN = re.compile("\u00ad(?!$)")
# PDFium does not part words whose gap is less than 0.17 of their size. Therefore the gaps within the longest words of a
# page are measured: where one is so much wider than usual, in sizes, more words are, and then all of the page.
_LETTERS = re.compile(r"[^\W\d_]{10,}")
_LONG_LETTERS = 12
_MEASURED_WORDS = 4
_MOST_MEASURED = 12
_WORD_GAP = 0.045
# A line this much wider than others, for each of its letters, may have a gap between columns in it.
_WIDER = 1.12


@dataclass(slots=True)
class PageWords:
    words: list[Word]
    # The same words, all in the coordinates of the page.
    placed: list[Word]
    # For each word, the index of its first character, and its direction in quarter turns (None: none of the four).
    characters: list[int]
    quarters: list[int | None]
    # The direction of most words, which the coordinates of the page are turned by.
    main_quarter: int
    # Whether the fonts of the page do not tell which letters they draw.
    is_garbled: bool


def read_words(textpage: Any, *, whole_lines: bool) -> PageWords:
    """The words of the page; with `whole_lines`, a line that is drawn at once is one word."""
    reader = _WordReader(textpage)
    reader.read(whole_lines=whole_lines)
    counts = Counter(quarter for quarter in reader.quarters if quarter is not None)
    main = counts.most_common(1)[0][0] if counts else 0
    turn = upright(main)
    placed = []
    for one, quarter in zip(reader.words, reader.quarters, strict=True):
        box_on_page = one.left, one.top, one.right, one.bottom
        one.left, one.top, one.right, one.bottom = turn(*box_on_page)
        placed.append(one)
        if quarter != main and quarter is not None:
            # Text in another direction is upright in coordinates of its own, but stands in a cell of a table as it is.
            placed[-1] = Word(one.text, one.left, one.top, one.right, one.bottom)
            one.left, one.top, one.right, one.bottom = upright(quarter)(*box_on_page)
    return PageWords(reader.words, placed, reader.characters, reader.quarters, main, reader.is_garbled())


class _WordReader:
    """Collects words with their boxes in the coordinates of the page, which grow upwards."""

    def __init__(self, textpage: Any) -> None:
        import pypdfium2.raw as pdfium

        self.words: list[Word] = []
        self.characters: list[int] = []
        self.quarters: list[int | None] = []
        self._textpage = textpage
        self._handle = textpage.raw
        self._text = _text(textpage)
        # FS_RECTF as an array, which is read at once: left, top, right, bottom.
        self._box = (ctypes.c_float * 4)()
        self._reference = ctypes.cast(self._box, ctypes.POINTER(pdfium.FS_RECTF))
        self._read_box = pdfium.FPDFText_GetLooseCharBox
        self._glued = self._is_glued()

    def read(self, *, whole_lines: bool) -> None:
        import pypdfium2.raw as pdfium

        turned: list[tuple[int, int, int | None]] = []
        lines: list[tuple[int, int, Box | None]] = []
        for match in _LINE.finditer(self._text):
            start, end = match.span()
            while start < end and self._text[start].isspace():
                start += 1
            while end > start and self._text[end - 1].isspace():
                end -= 1
            if start == end:
                continue
            quarter = _quarter(pdfium.FPDFText_GetCharAngle(self._handle, start))
            if quarter == 0:
                whole = whole_lines and not self._glued
                lines.append((start, end, self._whole_line(start, end) if whole else None))
            else:
                turned += [(*word.span(), quarter) for word in _WORD.finditer(self._text, start, end)]
        usual = median([_width(box) / (end - start) for start, end, box in lines if box is not None])
        for start, end, box in lines:
            if box is not None and _width(box) / (end - start) <= _WIDER * usual:
                self._add(start, " ".join(self._text[start:end].split()), box)
            else:
                self._read_line(start, end)
        for start, word, box, quarter in read_turned_words(self._textpage, self._text, turned):
            self._add(start, word, box, quarter)

    def is_garbled(self) -> bool:
        unknown = 0 if self._text.isascii() and self._text.isprintable() else len(_UNKNOWN.findall(self._text))
        return unknown > _MOST_UNKNOWN * len(self._text)

    def _is_glued(self) -> bool:
        found = list(_LETTERS.finditer(self._text))
        # Sorting takes longer than finding.
        long = [match for match in found if match.end() - match.start() >= _LONG_LETTERS]
        if len(long) >= _MOST_MEASURED:
            found = long
        longest = nlargest(_MOST_MEASURED, found, key=lambda match: match.end() - match.start())
        glued = 0
        for number, match in enumerate(longest, start=1):
            glued += len(list(_part_glued(self._handle, match[0], match.start()))) > 1
            # One alone may be an odd pair of letters.
            if glued > 1 or (number == _MEASURED_WORDS and not glued):
                break
        return glued > 1 or 0 < glued == len(longest)

    def _add(self, start: int, word: str, box: Box, quarter: int | None = 0) -> None:
        self.words.append(Word(word if word.isascii() else _fold(word), *box))
        self.characters.append(start)
        self.quarters.append(quarter)

    def _whole_line(self, start: int, end: int) -> Box | None:
        """The box of a line that the document draws at once, as most programs do; None for others."""
        import pypdfium2.raw as pdfium

        if pdfium.FPDFText_CountRects(self._handle, start, end - start) != 1:
            return None
        self._read_box(self._handle, start, self._reference)
        left, top, right, bottom = self._box
        self._read_box(self._handle, end - 1, self._reference)
        last_left, last_top, last_right, last_bottom = self._box
        if (top, bottom) != (last_top, last_bottom):
            return None
        return min(left, last_left), bottom, max(right, last_right), top

    def _read_line(self, start: int, end: int) -> None:
        """The words of a line, by the boxes of their first and last characters: all would take five times as long."""
        read_box, handle, reference, bounds = self._read_box, self._handle, self._reference, self._box
        words, characters, quarters = self.words, self.characters, self.quarters
        for match in _WORD.finditer(self._text, start, end):
            first, stop = match.span()
            if self._glued:
                for part_start, part, part_box in _part_glued(handle, match[0], first):
                    self._add(part_start, part, part_box)
                continue
            if not read_box(handle, first, reference):
                continue
            left, top, right, bottom = bounds
            if stop - first > 1 and read_box(handle, stop - 1, reference):
                last_left, last_top, last_right, last_bottom = bounds
                if bottom != last_bottom or top != last_top:
                    box, last = (left, bottom, right, top), (last_left, last_bottom, last_right, last_top)
                    if (_is_raised(box, last) or _is_raised(last, box)) and _baseline(handle, first) != _baseline(
                        handle, stop - 1
                    ):
                        for part_start, part, part_box in _part_raised(handle, match[0], first):
                            self._add(part_start, part, part_box)
                        continue
                    left, bottom, right, top = union(box, last)
                elif last_right > right:
                    right = last_right
                else:
                    left = last_left
            # As `_add` does, without the time of a call for each word.
            word = match[0]
            words.append(Word(word if word.isascii() else _fold(word), left, bottom, right, top))
            characters.append(first)
            quarters.append(0)


def _width(box: Box) -> float:
    return box[2] - box[0]


def _fold(word: str) -> str:
    """Without ligatures and soft hyphens, and with the characters that PDFium writes as two surrogates."""
    text = word.translate(_REPLACED)
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _SOFT_HYPHEN.sub("", text)


def _part_glued(handle: Any, text: str, start: int) -> Iterator[tuple[int, str, Box]]:
    """The words in a run of letters, by the gaps between them."""
    boxes = _letter_boxes(handle, text, start)
    gaps = [other[0] - one[2] for one, other in pairwise(boxes)]
    usual, size = median(gaps), boxes[0][3] - boxes[0][1]
    first, box = 0, boxes[0]
    for index, gap in enumerate(gaps, start=1):
        if gap - usual > _WORD_GAP * size:
            yield start + first, text[first:index], box
            first, box = index, boxes[index]
        else:
            box = union(box, boxes[index])
    yield start + first, text[first:], box


def _letter_boxes(handle: Any, text: str, start: int) -> list[Box]:
    import pypdfium2.raw as pdfium

    box = pdfium.FS_RECTF()
    boxes = []
    for index in range(start, start + len(text)):
        pdfium.FPDFText_GetLooseCharBox(handle, index, ctypes.byref(box))
        boxes.append((box.left, box.bottom, box.right, box.top))
    return boxes


def _part_raised(handle: Any, text: str, start: int) -> list[tuple[int, str, Box]]:
    """The parts of a word whose mark of a footnote, or exponent, PDFium does not part from it."""
    letters = list(zip(text, _letter_boxes(handle, text, start), strict=True))
    highest, tallest = max(enumerate(bounds for _, bounds in letters), key=lambda one: one[1][3] - one[1][1])
    baseline = _baseline(handle, start + highest)
    parts: list[tuple[int, str, Box]] = []
    above = False
    for index, (letter, bounds) in enumerate(letters, start):
        raised = _is_raised(tallest, bounds) and _baseline(handle, index) != baseline
        if not parts or raised != above:
            if parts and raised and parts[-1][1][-1].isdigit():
                letter = f"^{letter}"
            elif not parts or not raised or len(parts[-1][1]) > 2:
                parts.append((index, letter, bounds))
                above = raised
                continue
        above = raised
        first, so_far, so_far_bounds = parts[-1]
        parts[-1] = first, so_far + letter, union(so_far_bounds, bounds)
    return parts


def _is_raised(tall: Box, small: Box) -> bool:
    height = tall[3] - tall[1]
    return small[3] - small[1] < 0.9 * height and small[1] - tall[1] > 0.15 * height


def _baseline(handle: Any, index: int) -> float:
    """Where a character stands, in tenths of a point: PDFium's box of a ligature is smaller than those of its font."""
    import pypdfium2.raw as pdfium

    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium.FPDFText_GetCharOrigin(handle, index, ctypes.byref(x), ctypes.byref(y))
    return round(y.value, 1)


def _text(textpage: Any) -> str:
    text = _characters(textpage)
    if any(letter in text for letter in _SWAPPED_FIRST):
        text = _SWAPPED.sub(lambda match: "".join(chr(ord(letter) >> 8) for letter in match[0]), text)
    return text


def _characters(textpage: Any) -> str:
    """The text of the page, with one character (or surrogate) for each of PDFium's."""
    import pypdfium2.raw as pdfium

    count = textpage.count_chars()
    text: str = textpage.get_text_range()
    if len(text) == count:
        return text
    read = pdfium.FPDFText_GetUnicode
    codes = [read(textpage.raw, index) for index in range(count)]
    return "".join("\ufffe" if code == 2 else chr(code) if code < 0x110000 else "\ufffd" for code in codes)


def _quarter(angle: float) -> int | None:
    quarters = angle / 1.5707963
    nearest = round(quarters)
    # PDFium counts clockwise.
    return -nearest % 4 if abs(quarters - nearest) < 0.06 else None
