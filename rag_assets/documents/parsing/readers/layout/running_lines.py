"""Running headers and footers, page numbers and stamps: lines that several pages have at the same place."""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence

from rag_assets.documents.parsing.readers.layout.geometry import Box, Segment, median

# Rows at the edges of a page that are looked at, and the points up to which places are the same.
_EDGE_ROWS = 3
_SAME_PLACE = 6
_MIN_PAGES = 3
_FEW_ROWS = 2
# They stand in this share of the page's height, at the top and at the bottom.
_MARGIN = 0.15
_NUMBER = re.compile(r"\b(?:\d{1,5}|[ivxl]{1,7})\b", re.IGNORECASE)
_PAGE_NUMBER = re.compile(
    r"\W*(?:page|p\.|seite|página|pagina|strona|стр\.?|第)?\W*(?:\d{1,5}|[ivxl]{1,7})"
    r"(?:\s*(?:/|of|von|de|sur|di|z|из)\s*\d{1,5})?\s*[页頁]?\W*",
    re.IGNORECASE,
)
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50}


def remove_running_lines(pages: Sequence[list[Segment]], boxes: Sequence[Box]) -> None:
    """Remove repeated lines from all pages but the first that has them, and page numbers from all.

    `boxes` are those of the pages.
    """
    if len(pages) < 2:
        return
    found: dict[Hashable, list[tuple[int, Segment]]] = defaultdict(list)
    for number, (segments, box) in enumerate(zip(pages, boxes, strict=True)):
        for segment in _at_the_edges(segments, box):
            place = round(segment.top / _SAME_PLACE)
            for key in _keys(segment, number, median([one.height for one in segments])):
                # A line near the border of two places is in both.
                for near in (place, place + (1 if segment.top / _SAME_PLACE > place else -1)):
                    found[key, near].append((number, segment))
    gone: dict[int, set[int]] = defaultdict(set)
    for lines in found.values():
        if len({number for number, _ in lines}) < min(_MIN_PAGES, len(pages)):
            continue
        first = lines[0][0]
        for number, segment in lines:
            if number != first or _PAGE_NUMBER.fullmatch(segment.text):
                gone[number].add(id(segment))
    for number, ids in gone.items():
        pages[number][:] = [segment for segment in pages[number] if id(segment) not in ids]


def _at_the_edges(segments: Sequence[Segment], box: Box) -> Iterable[Segment]:
    texts = [segment for segment in segments if not segment.is_table]
    tops = sorted({round(segment.top) for segment in texts})
    edges = {*tops[:_EDGE_ROWS], *tops[-_EDGE_ROWS:]}
    margin = _MARGIN * (box[3] - box[1])
    return [
        segment
        for segment in texts
        if segment.turned
        # On a page with hardly any text, that is a stamp.
        or len(tops) <= _FEW_ROWS
        or (round(segment.top) in edges and (segment.bottom <= box[1] + margin or segment.top >= box[3] - margin))
    ]


def _keys(segment: Segment, page: int, usual_height: float) -> Iterator[Hashable]:
    """What the line has in common with the same line of another page: its text, or all but the number of the page."""
    text = segment.text.lower()
    if not _PAGE_NUMBER.fullmatch(text):
        yield text
    # "Step 1", "Step 2" in large letters are the titles of slides.
    if segment.height <= 1.15 * usual_height:
        for match in _NUMBER.finditer(text):
            yield f"{text[: match.start()]}#{text[match.end() :]}", _value(match[0]) - page


def _value(number: str) -> int:
    if number.isdigit():
        return int(number)
    values = [_ROMAN[letter] for letter in number]
    return sum(-one if one < max(values[place:]) else one for place, one in enumerate(values))
