"""The words of a page with their boxes, as PDFium reads them, and the segments of lines that they make."""

import ctypes
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rag_assets.documents.parsing.readers.layout.geometry import RIGHT_TO_LEFT, Box, Segment, Word, on_one_row, upright

# PDFium writes U+FFFE for the hyphen of a word divided at the end of a line, and no line end after it.
_WORD = re.compile(r"[^\s\x00\ufffe]+\ufffe?|\ufffe")
_LIGATURES = {0xFB00 + index: text for index, text in enumerate(("ff", "fi", "fl", "ffi", "ffl", "st", "st"))}
# Symbol fonts have their bullets and ticks in the private use area.
_REPLACED = str.maketrans(
    _LIGATURES | {0xFFFE: "-"} | dict.fromkeys((0xF0B7, 0xF0A7, 0xF076, 0xF0D8, 0xF06C, 0xF0FC), "•")
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SOFT_HYPHEN = re.compile("\u00ad(?!$)")
# The widest space within a line, in heights of its letters.
_MAX_SPACE = 1.0
# The widest gap within a word of turned text.
_MAX_LETTER_GAP = 0.2
_FIXED_PITCH = 1


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


def read_words(textpage: Any) -> PageWords:
    import pypdfium2.raw as pdfium

    handle, text = textpage.raw, _text(textpage)
    words: list[Word] = []
    characters: list[int] = []
    quarters: list[int | None] = []
    # FS_RECTF as an array, which is read at once: left, top, right, bottom.
    box = (ctypes.c_float * 4)()
    reference = ctypes.cast(box, ctypes.POINTER(pdfium.FS_RECTF))
    read_box = pdfium.FPDFText_GetLooseCharBox
    line_end, quarter = -1, None
    turned: list[tuple[int, int, int | None]] = []
    # The boxes of the first and the last character of each word: those of all would take five times as long.
    for match in _WORD.finditer(text):
        start, end = match.span()
        if start > line_end:
            quarter = _quarter(pdfium.FPDFText_GetCharAngle(handle, start))
            line_end = text.find("\n", start)
            line_end = len(text) if line_end < 0 else line_end
        if quarter != 0:
            turned.append((start, end, quarter))
            continue
        if not read_box(handle, start, reference):
            continue
        left, top, right, bottom = box
        bounds = left, bottom, right, top
        if end - start > 1 and read_box(handle, end - 1, reference):
            last_left, last_top, last_right, last_bottom = box
            if bottom == last_bottom and top == last_top:
                bounds = (left, bottom, last_right, top) if last_right > right else (last_left, bottom, right, top)
            else:
                last = last_left, last_bottom, last_right, last_top
                if _is_raised(bounds, last) or _is_raised(last, bounds):
                    for part_start, part, part_bounds in _part_raised(handle, match[0], start):
                        words.append(Word(_fold(part), *part_bounds))
                        characters.append(part_start)
                        quarters.append(quarter)
                    continue
                bounds = _union(bounds, last)
        word = match[0]
        words.append(Word(word if word.isascii() else _fold(word), *bounds))
        characters.append(start)
        quarters.append(quarter)
    for start, word, word_bounds, quarter in _turned_words(textpage, text, turned):
        words.append(Word(_fold(word), *word_bounds))
        characters.append(start)
        quarters.append(quarter)
    counts = Counter(quarter for quarter in quarters if quarter is not None)
    main = counts.most_common(1)[0][0] if counts else 0
    turn = upright(main)
    placed = []
    for one, quarter in zip(words, quarters, strict=True):
        box_on_page = one.left, one.top, one.right, one.bottom
        one.left, one.top, one.right, one.bottom = turn(*box_on_page)
        placed.append(one)
        if quarter != main and quarter is not None:
            # Text in another direction is upright in coordinates of its own, but stands in a cell of a table as it is.
            placed[-1] = Word(one.text, one.left, one.top, one.right, one.bottom)
            one.left, one.top, one.right, one.bottom = upright(quarter)(*box_on_page)
    return PageWords(words, placed, characters, quarters, main)


def _turned_words(
    textpage: Any, text: str, ranges: Iterable[tuple[int, int, int | None]]
) -> Iterator[tuple[int, str, Box, int | None]]:
    """The words of text that does not run from left to right, whose spaces and line ends PDFium does not find."""
    import pypdfium2.raw as pdfium

    values = [ctypes.c_double() for _ in range(4)]
    references = [ctypes.byref(value) for value in values]
    begun: tuple[int, str, Box, int | None] | None = None
    last, last_bounds = -1, (0.0, 0.0, 0.0, 0.0)
    for start, end, quarter in ranges:
        size = _font(textpage, start)[2]
        for index in range(start, end):
            pdfium.FPDFText_GetCharBox(textpage.raw, index, *references)
            left, right, bottom, top = (value.value for value in values)
            bounds = left, bottom, right, top
            near = _distance(last_bounds, bounds, quarter) < _MAX_LETTER_GAP * size
            if begun and begun[3] == quarter and near and not _has_space(textpage.raw, last, index):
                begun = begun[0], begun[1] + text[index], _union(begun[2], bounds), quarter
            else:
                if begun:
                    yield begun
                begun = index, text[index], bounds, quarter
            last, last_bounds = index, bounds
    if begun:
        yield begun


def _distance(one: Box, other: Box, quarter: int | None) -> float:
    """The gap between two neighbouring characters in the direction of their text."""
    if quarter is None:
        return max(other[0] - one[2], one[0] - other[2], other[1] - one[3], one[1] - other[3])
    turn = upright(quarter)
    return abs(turn(*other)[0] - turn(*one)[2])


def _has_space(handle: Any, last: int, index: int) -> bool:
    """Whether the document itself has a space between two characters, not one that PDFium made up."""
    import pypdfium2.raw as pdfium

    between = range(last + 1, index)
    return any(
        chr(pdfium.FPDFText_GetUnicode(handle, one)).isspace() and not pdfium.FPDFText_IsGenerated(handle, one)
        for one in between
    )


def _fold(word: str) -> str:
    """Without ligatures and soft hyphens, and with the characters that PDFium writes as two surrogates."""
    text = word.translate(_REPLACED)
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _SOFT_HYPHEN.sub("", text)


def _part_raised(handle: Any, text: str, start: int) -> list[tuple[int, str, Box]]:
    """The parts of a word whose mark of a footnote, or exponent, PDFium does not part from it."""
    import pypdfium2.raw as pdfium

    box = pdfium.FS_RECTF()
    letters: list[tuple[str, Box]] = []
    for index, letter in enumerate(text, start):
        pdfium.FPDFText_GetLooseCharBox(handle, index, ctypes.byref(box))
        letters.append((letter, (box.left, box.bottom, box.right, box.top)))
    tallest = max((bounds for _, bounds in letters), key=lambda bounds: bounds[3] - bounds[1])
    parts: list[tuple[int, str, Box]] = []
    above = False
    for index, (letter, bounds) in enumerate(letters, start):
        raised = _is_raised(tallest, bounds)
        if not parts or raised != above:
            if parts and raised and parts[-1][1][-1].isdigit():
                letter = f"^{letter}"
            elif not parts or not raised or len(parts[-1][1]) > 2:
                parts.append((index, letter, bounds))
                above = raised
                continue
        above = raised
        first, so_far, so_far_bounds = parts[-1]
        parts[-1] = first, so_far + letter, _union(so_far_bounds, bounds)
    return parts


def _is_raised(tall: Box, small: Box) -> bool:
    height = tall[3] - tall[1]
    return small[3] - small[1] < 0.9 * height and small[1] - tall[1] > 0.15 * height


def _union(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def make_segments(textpage: Any, page: PageWords, tables: list[tuple[Segment, list[int]]]) -> list[Segment]:
    """The segments in the order in which they are drawn; a table stands at the place of its first word.

    Those in another direction than most come last.
    """
    in_table = {index: table for table, indexes in tables for index in indexes}
    segments: list[Segment] = []
    words: list[Word] = []
    first = last = -1

    def finish() -> None:
        if words:
            lengths = [len(word.text) for word in words]
            longest = lengths.index(max(lengths))
            segments.append(
                _segment(textpage, words, words[longest], page.characters[first + longest], page.characters[last])
            )
            segments[-1].turned = page.quarters[first] != page.main_quarter
            words.clear()

    for index, word in enumerate(page.words):
        table = in_table.get(index)
        if table is not None:
            finish()
            if (not segments or segments[-1] is not table) and not any(table is one for one in segments):
                segments.append(table)
            continue
        if words and not (page.quarters[first] == page.quarters[index] and _follows(words, word)):
            finish()
        if not words:
            first = index
        words.append(word)
        last = index
    finish()
    return sorted(segments, key=lambda segment: segment.turned)


def _follows(words: list[Word], next_word: Word) -> bool:
    last = words[-1]
    gap = next_word.left - last.right
    if last.top == next_word.top and last.bottom == next_word.bottom and 0 <= gap <= last.bottom - last.top:
        return True
    # The last word may be an index or an exponent.
    if not (on_one_row(last, next_word) or any(on_one_row(word, next_word) for word in words[-4:-1])):
        return False
    if gap < -0.5 * (last.bottom - last.top) and RIGHT_TO_LEFT.search(last.text + next_word.text):
        gap = last.left - next_word.right
    return abs(gap) <= _MAX_SPACE * max(last.bottom - last.top, next_word.bottom - next_word.top)


def _segment(textpage: Any, words: list[Word], longest_word: Word, longest: int, last: int) -> Segment:
    bold, fixed, size = _font(textpage, longest)
    first_word, last_word = words[0], words[-1]
    return Segment(
        " ".join([word.text for word in words]),
        min(first_word.left, last_word.left),
        # Those of the letters: indexes and exponents do not make a line higher.
        longest_word.top,
        max(first_word.right, last_word.right),
        longest_word.bottom,
        size=size,
        bold=bold and (last == longest or _font(textpage, last)[0]),
        monospaced=fixed,
    )


def _font(textpage: Any, character: int) -> tuple[bool, bool, float]:
    """Whether the font of this character is bold, whether its characters are equally wide, and its size in points."""
    import pypdfium2.raw as pdfium

    name = ctypes.create_string_buffer(128)
    flags = ctypes.c_int()
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFText_GetFontInfo(textpage.raw, character, name, 128, ctypes.byref(flags))
    pdfium.FPDFText_GetMatrix(textpage.raw, character, ctypes.byref(matrix))
    size = pdfium.FPDFText_GetFontSize(textpage.raw, character) * math.hypot(matrix.c, matrix.d)
    lower = name.value.lower()
    bold = b"bold" in lower or b"black" in lower or pdfium.FPDFText_GetFontWeight(textpage.raw, character) >= 600
    return bold, bool(flags.value & _FIXED_PITCH) or b"mono" in lower or b"courier" in lower, size


def _text(textpage: Any) -> str:
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
