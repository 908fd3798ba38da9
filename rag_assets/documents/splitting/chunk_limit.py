"""How much of a very long text has to be split to get its first chunks."""

from collections.abc import Callable, Sequence

from rag_assets.documents.splitting.splitter import Piece

SplitPrefix = Callable[[int], Sequence[Piece]]

# Shorter chunks are not expected of any text; a text of so many characters for each chunk is split as a whole.
_SHORTEST_CHUNK = 64
_SAMPLE_CHARS = 1_000_000
_MARGIN = 1.5


def is_long(length: int, max_chunks: int) -> bool:
    """Whether a text of so many characters may have too many chunks."""
    return length > max_chunks * _SHORTEST_CHUNK


def first_pieces(length: int, split_prefix: SplitPrefix, max_chunks: int) -> list[Piece]:
    """The first `max_chunks` pieces of a text of so many characters; all of them if it has no more.

    `split_prefix` splits a beginning of the text. Time and memory are those of about as much text as the pieces have.
    """
    taken = min(length, _SAMPLE_CHARS)
    pieces = split_prefix(taken)
    while taken < length and len(pieces) <= max_chunks:
        per_chunk = taken / max(1, len(pieces))
        taken = min(length, max(2 * taken, int(_MARGIN * max_chunks * per_chunk)))
        pieces = split_prefix(taken)
    return list(pieces[:max_chunks])
