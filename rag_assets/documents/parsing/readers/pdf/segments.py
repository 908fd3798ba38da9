"""The segments of lines that the words of a page make."""

from typing import Any

from rag_assets.documents.parsing.readers.layout.geometry import RIGHT_TO_LEFT, Segment, Word, on_one_row
from rag_assets.documents.parsing.readers.pdf.fonts import read_font
from rag_assets.documents.parsing.readers.pdf.page_words import PageWords

# The widest space within a line, in heights of its letters.
_MAX_SPACE = 1.0


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
    font = read_font(textpage, longest)
    first_word, last_word = words[0], words[-1]
    return Segment(
        " ".join([word.text for word in words]),
        min(first_word.left, last_word.left),
        # Those of the letters: indexes and exponents do not make a line higher.
        longest_word.top,
        max(first_word.right, last_word.right),
        longest_word.bottom,
        size=font.size,
        bold=font.bold and (last == longest or read_font(textpage, last).bold),
        monospaced=font.monospaced,
    )
