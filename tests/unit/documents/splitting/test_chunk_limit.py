"""Of a very long text only as much is split as its first chunks need."""

import pytest

from rag_assets.documents.splitting.chunk_limit import first_pieces, is_long
from rag_assets.documents.splitting.splitter import Piece


class Lines:
    """A text whose pieces have `before` characters up to a place, and `after` from there on."""

    def __init__(self, before: int, after: int, place: int) -> None:
        self.before, self.after, self.place = before, after, place
        self.split_chars = 0

    def __call__(self, end: int) -> list[Piece]:
        self.split_chars += end
        starts = [*range(0, min(end, self.place), self.before), *range(self.place, end, self.after)]
        return [Piece(at, at + 1, "x", 1, ()) for at in starts]


@pytest.mark.parametrize(("before", "after"), [(300, 300), (100, 2000), (2000, 100)])
def test_the_first_pieces_are_those_of_the_whole_text(before: int, after: int) -> None:
    length, most = 40_000_000, 5_000
    lines = Lines(before, after, 1_000_000)
    whole = lines(length)
    lines.split_chars = 0
    found = first_pieces(length, lines, most)
    assert found == whole[:most]
    assert lines.split_chars < length / 2


def test_a_text_with_fewer_pieces_keeps_all() -> None:
    lines = Lines(1_000, 1_000, 1_000_000)
    assert len(first_pieces(3_000_000, lines, 5_000)) == 3_000
    assert is_long(3_000_000, 5_000)
    assert not is_long(300_000, 5_000)
