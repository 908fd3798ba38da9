"""Slides are split apart, and the pieces keep their places in the whole text."""

from rag_assets.documents.splitting.slides import join_pieces, slide_starts
from rag_assets.documents.splitting.splitter import Piece

SLIDE = "## Slide\n\none two three four five six seven eight nine ten eleven twelve"
CONTENT = "\n\n".join(["## Title", SLIDE, SLIDE, "## Thanks", SLIDE]) + "\n"
STARTS = (0, 10, 12 + len(SLIDE), 14 + 2 * len(SLIDE), 25 + 2 * len(SLIDE))


def test_a_title_alone_belongs_to_the_next_slide() -> None:
    assert [CONTENT[start:].split("\n")[0] for start in STARTS] == [
        "## Title",
        "## Slide",
        "## Slide",
        "## Thanks",
        "## Slide",
    ]
    assert slide_starts(CONTENT, "pptx", STARTS) == [0, STARTS[2], STARTS[3]]


def test_short_pages_of_a_pdf_are_slides_and_long_ones_are_not() -> None:
    assert slide_starts(CONTENT, "pdf", STARTS) == slide_starts(CONTENT, "pptx", STARTS)
    assert slide_starts(CONTENT * 20, "pdf", (0, 700, 1400)) == [0]
    assert slide_starts(CONTENT, "epub", STARTS) == slide_starts(CONTENT, "pptx", ()) == [0]
    # The second page begins within a sentence.
    assert slide_starts("word " * 50, "pdf", (0, 100)) == [0]


def test_pieces_are_moved_to_their_place() -> None:
    pieces = [Piece(0, 4, "text", 1, ()), Piece(5, 9, "more", 1, ())]
    assert join_pieces([0, 100], [pieces, pieces[:1]]) == [*pieces, Piece(100, 104, "text", 1, ())]
