"""Slides are split apart: each says one thing, and a hit should name the slide that it is on."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, pairwise

from rag_assets.documents.splitting.splitter import Piece

# Pages of a PDF that are so short, in characters, are slides too.
_SHORT_PAGE = 600
# A slide with fewer words is a title, and belongs to the next one.
_FEW_WORDS = 12
_WORD = re.compile(r"\w+")


def slide_starts(content: str, file_type: str, page_starts: Sequence[int]) -> list[int]:
    """Where the text is to be split whatever the size of the pieces: [0] for all but slides."""
    lengths = sorted(end - start for start, end in pairwise([*page_starts, len(content)]))
    is_short = file_type == "pdf" and len(lengths) > 1 and lengths[len(lengths) // 2] < _SHORT_PAGE
    if file_type != "pptx" and not is_short:
        return [0]
    starts = [0]
    for start in page_starts[1:]:
        words = sum(1 for _ in islice(_WORD.finditer(content, starts[-1], start), _FEW_WORDS))
        # A sentence that goes on over the end of a page is not cut.
        if words == _FEW_WORDS and content[start - 2 : start] == "\n\n":
            starts.append(start)
    return starts


def join_pieces(starts: Sequence[int], parts: Sequence[Sequence[Piece]]) -> list[Piece]:
    """The pieces of all parts, with their places in the whole text."""
    return [
        replace(piece, char_start=piece.char_start + start, char_end=piece.char_end + start) if start else piece
        for start, pieces in zip(starts, parts, strict=True)
        for piece in pieces
    ]
