"""Lines of justified text whose spaces are so wide that their words pass for cells beside each other."""

import re
from collections.abc import Sequence
from itertools import islice, pairwise

from rag_assets.documents.parsing.readers.layout.geometry import RIGHT_TO_LEFT, Segment, on_one_row

# In points: how far the ends of lines, and the spaces of one line, may differ.
_SAME_END = 1.5
_SAME_SPACE = 1.5
_SAME_SIZE = 0.08
# In heights of a line: lines of one paragraph are not farther apart.
_FAR = 1.2
_MANY_WORDS = 3
_FEW_LINES = 3
_LETTER = re.compile(r"[^\W\d_]")


def join_stretched_lines(segments: Sequence[Segment]) -> list[Segment]:
    """The segments as they are drawn, with the words of a stretched line as one segment.

    Such a line is exactly as wide as a whole line right above or below it, its spaces are equal, and each of its
    segments is a word. Of three and more words, the whole lines may stand anywhere in the column.
    """
    rows = _drawn_rows(segments)
    if len(rows) == len(segments):
        return list(segments)
    joined = [row[0] if len(row) == 1 else None for row in rows]
    whole = [row[0] for row in rows if len(row) == 1 and " " in row[0].text]
    for index, row in enumerate(rows):
        if len(row) >= _MANY_WORDS and _are_equal_words(row):
            same = (one for one in whole if _is_as_wide(row, one))
            if sum(1 for _ in islice(same, _FEW_LINES)) == _FEW_LINES:
                joined[index] = _join(row)
    # From whole lines downwards, then upwards: several stretched lines may follow each other.
    for order in (range(1, len(rows)), range(len(rows) - 2, -1, -1)):
        step = -1 if order.step > 0 else 1
        for index in order:
            beside = joined[index + step]
            if joined[index] is None and beside is not None and _is_stretched(rows[index], beside):
                joined[index] = _join(rows[index])
    return [one for row, line in zip(rows, joined, strict=True) for one in ([line] if line is not None else row)]


def _drawn_rows(segments: Sequence[Segment]) -> list[list[Segment]]:
    rows: list[list[Segment]] = []
    for segment in segments:
        last = rows[-1][-1] if rows else None
        if (
            last is not None
            and not (last.is_table or segment.is_table)
            and last.turned == segment.turned
            and segment.left > last.right
            and on_one_row(last, segment)
        ):
            rows[-1].append(segment)
        else:
            rows.append([segment])
    return rows


def _is_stretched(row: Sequence[Segment], whole: Segment) -> bool:
    apart = max(row[0].top - whole.bottom, whole.top - row[0].bottom)
    return " " in whole.text and apart < _FAR * whole.height and _is_as_wide(row, whole) and _are_equal_words(row)


def _is_as_wide(row: Sequence[Segment], whole: Segment) -> bool:
    return (
        not whole.is_table
        and abs(row[0].left - whole.left) <= _SAME_END
        and abs(row[-1].right - whole.right) <= _SAME_END
        and abs(row[0].size - whole.size) <= _SAME_SIZE * whole.size
    )


def _are_equal_words(row: Sequence[Segment]) -> bool:
    spaces = [right.left - left.right for left, right in pairwise(row)]
    return (
        max(spaces) - min(spaces) <= _SAME_SPACE
        and all(" " not in one.text and _LETTER.search(one.text) for one in row)
        and not any(RIGHT_TO_LEFT.search(one.text) for one in row)
    )


def _join(row: Sequence[Segment]) -> Segment:
    longest = max(row, key=lambda one: len(one.text))
    return Segment(
        " ".join(one.text for one in row),
        row[0].left,
        longest.top,
        row[-1].right,
        longest.bottom,
        size=longest.size,
        bold=all(one.bold for one in row),
        monospaced=all(one.monospaced for one in row),
        turned=longest.turned,
    )
