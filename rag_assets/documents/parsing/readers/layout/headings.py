"""Which blocks of a PDF are headings, and of which level: by its bookmarks, else by size and weight of the letters."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag_assets.documents.parsing.readers.layout.paragraphs import TextBlock

_MAX_CHARS = 150
_MAX_LINES = 3
# Letters by which lines are told from titles at first sight, and characters in which these letters are.
_BEGINNING = 2
_BEGINNING_CHARS = 30
# In sizes of the body's letters.
_LARGER = 1.12
_SMALLEST = 0.94
_SAME_LEVEL = 0.04
_MAX_BOLD_LINES = 2
_MAX_LEVEL = 6
_WORD = re.compile(r"[^\W\d_]{2,}")
_LETTERS = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"(\d{1,2}(?:\.\d{1,2}){0,4})\.?\s+\S")
_NUMBERING = re.compile(
    r"^(?:chapter|section|part|appendix|kapitel|chapitre|teil)?\s*[\dA-Z]{0,3}(?:\.\d+)*[.:)]?\s+", re.I
)


@dataclass(frozen=True, slots=True)
class Bookmark:
    title: str
    level: int  # from 0
    page: int  # from 0


def mark_headings(blocks: list[TextBlock], bookmarks: Sequence[Bookmark]) -> list[TextBlock]:
    """The blocks with the levels of headings set; a heading that ran on into its text becomes a block of its own."""
    body = _body_size(blocks)
    found = [block for block in blocks if _may_be_heading(block) and block.size >= _LARGER * body]
    if bookmarks:
        divided, matched = _match_bookmarks(blocks, bookmarks)
        if matched >= max(2, len(bookmarks) / 2):
            _mark_title(divided, found, body)
            return divided
    if sum(len(_text(block)) for block in blocks if block.bold) < 0.5 * sum(len(_text(block)) for block in blocks):
        found += [
            block
            for block, below in pairwise(blocks)
            if block.bold
            and not below.bold
            and below.kind != "code"
            and _SMALLEST * body <= block.size < _LARGER * body
            if len(block.lines) <= _MAX_BOLD_LINES and _may_be_heading(block)
        ]
    # Bold headings of the body's size are below all larger ones.
    levels = _levels([max(body, block.size) for block in found])
    for block in found:
        block.level = levels[max(body, block.size)]
    _follow_numbering(found)
    return blocks


def _follow_numbering(headings: Sequence[TextBlock]) -> None:
    """`3.1` is one level below `3`, whatever their letters."""
    depths = [(block, match[1].count(".")) for block in headings if (match := _NUMBER.match(_text(block))) is not None]
    if len({depth for _, depth in depths}) < 2:
        return
    least = min(depth for _, depth in depths)
    top = min(block.level for block, depth in depths if depth == least)
    for block, depth in depths:
        block.level = min(_MAX_LEVEL, top + depth - least)


def _text(block: TextBlock) -> str:
    return " ".join(line.text for line in block.lines)


def _may_be_heading(block: TextBlock) -> bool:
    if block.kind != "text" or len(block.lines) > _MAX_LINES or block.lines[0].segments[0].turned:
        return False
    text = _text(block).strip()
    letters = sum(character.isalpha() for character in text)
    return (
        len(text) <= _MAX_CHARS
        and letters >= 0.5 * len(text.replace(" ", ""))
        and bool(_WORD.search(text))
        and text[-1] not in ".,;:-"
        and (text[0].isalnum() or text[0] in "¿¡\"'“„«(")
        and not text[0].islower()
    )


def _body_size(blocks: Sequence[TextBlock]) -> float:
    """The size of most letters."""
    counts: Counter[float] = Counter()
    for block in blocks:
        if block.kind != "table":
            for line in block.lines:
                counts[round(line.size * 4) / 4] += len(line.text)
    return counts.most_common(1)[0][0] if counts else 1.0


def _levels(sizes: Sequence[float]) -> dict[float, int]:
    levels: dict[float, int] = {}
    level, last = 0, float("inf")
    for size in sorted(set(sizes), reverse=True):
        if size < last * (1 - _SAME_LEVEL):
            level, last = min(level + 1, _MAX_LEVEL), size
        levels[size] = level
    return levels


def _match_bookmarks(blocks: Sequence[TextBlock], bookmarks: Sequence[Bookmark]) -> tuple[list[TextBlock], int]:
    wanted: dict[int, list[tuple[Bookmark, set[str]]]] = defaultdict(list)
    for bookmark in bookmarks:
        wanted[bookmark.page].append((bookmark, _names(bookmark.title)))
    found: list[TextBlock] = []
    matched = 0
    for block in blocks:
        rest = block
        while rest.lines and rest.kind in {"text", "code"}:
            hit = _find_bookmark(rest, wanted.get(block.page, []))
            if hit is None:
                break
            bookmark, start, end = hit
            wanted[block.page] = [pair for pair in wanted[block.page] if pair[0] is not bookmark]
            matched += 1
            if start:
                found.append(TextBlock(rest.kind, rest.lines[:start], block.page))
            found.append(
                TextBlock("text", rest.lines[start:end], block.page, level=min(_MAX_LEVEL, bookmark.level + 1))
            )
            rest = TextBlock(rest.kind, rest.lines[end:], block.page)
        if rest.lines:
            found.append(rest)
    return found, matched


def _find_bookmark(block: TextBlock, titles: Sequence[tuple[Bookmark, set[str]]]) -> tuple[Bookmark, int, int] | None:
    """The first lines of the block that are the title of a bookmark."""
    # Most lines begin like no title.
    beginnings = {name[:_BEGINNING] for _, names in titles for name in names}
    for start, line in enumerate(block.lines if titles else ()):
        if not any(name[:_BEGINNING] in beginnings for name in _names(line.text[:_BEGINNING_CHARS])):
            continue
        text = ""
        for end in range(start + 1, min(start + _MAX_LINES, len(block.lines)) + 1):
            text = f"{text} {block.lines[end - 1].text}".strip()
            if len(text) > 2 * _MAX_CHARS:
                break
            names = _names(text)
            for bookmark, wanted in titles:
                if names & wanted:
                    return bookmark, start, end
    return None


def _names(title: str) -> set[str]:
    """The letters of a title, with its number and without it."""
    plain = _LETTERS.sub("", title).casefold()
    bare = _LETTERS.sub("", _NUMBERING.sub("", title)).casefold()
    return {plain, bare} - {""}


def _mark_title(blocks: Sequence[TextBlock], by_size: Sequence[TextBlock], body: float) -> None:
    """The largest letters of the first page are the title of the whole, above all bookmarks."""
    first = [block for block in by_size if block.page == 0]
    largest = max(first, key=lambda block: block.size, default=None)
    if largest is None:
        return
    title = next((block for block in blocks if block.lines and block.lines[0] is largest.lines[0]), None)
    if title is None or title.level or title.size < 1.3 * body:
        return
    for block in blocks:
        if block.level:
            block.level = min(_MAX_LEVEL, block.level + 1)
    title.level = 1
