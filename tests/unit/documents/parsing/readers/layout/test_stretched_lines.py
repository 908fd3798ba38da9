"""Words of justified lines with wide spaces are lines, not cells."""

from rag_assets.documents.parsing.readers.layout.geometry import Segment
from rag_assets.documents.parsing.readers.layout.stretched_lines import join_stretched_lines


def line(row: int, *words: tuple[str, float, float]) -> list[Segment]:
    return [Segment(text, left, 16.0 * row, right, 16.0 * row + 11, 11.0) for text, left, right in words]


WHOLE = ("often in conflict with the official definition", 57, 294)


def texts(*lines: list[Segment]) -> list[str]:
    return [one.text for one in join_stretched_lines([segment for own in lines for segment in own])]


def test_a_line_as_wide_as_its_neighbour_with_equal_spaces_is_one() -> None:
    first = line(1, ("a", 57, 64), ("baffled", 86, 128), ("officer.", 150, 192), ("Nevertheless", 214, 294))
    second = line(2, ("internationalization", 57, 176), ("requires", 243, 294))
    joined = ["a baffled officer. Nevertheless", "internationalization requires"]
    assert texts(line(0, WHOLE), first, second) == [WHOLE[0], *joined]
    assert texts(first, second, line(3, WHOLE)) == [*joined, WHOLE[0]]


def test_cells_stay_apart() -> None:
    for row in (
        [("Rope", 57, 80), ("12.50", 260, 294)],  # an amount
        [("Rope", 57, 80), ("Anchor", 120, 160), ("Buoy", 260, 294)],  # unequal spaces
        [("Rope", 57, 80), ("Harbour", 240, 280)],  # not as wide
        [("Steel rope", 57, 110), ("Harbour", 240, 294)],  # a cell of two words
    ):
        cells = [text for text, _, _ in row]
        assert texts(line(0, WHOLE), line(1, *row)) == [WHOLE[0], *cells]
    assert texts(line(0, WHOLE), line(3, ("Rope", 57, 80), ("Harbour", 240, 294))) == [WHOLE[0], "Rope", "Harbour"]


def test_many_words_may_stand_apart_from_the_whole_lines_of_their_column() -> None:
    row = [("workflow", 57, 110), ("of", 150, 160), ("the", 200, 294)]
    apart = [line(number, WHOLE) for number in (0, 1, 2)]
    assert texts(*apart, line(9, *row))[-1] == "workflow of the"
    assert texts(*apart[:2], line(9, *row))[-1] == "the"
