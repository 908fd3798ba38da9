"""How much room vectors and their index will take, by the layout of PostgreSQL's pages and pgvector's tuples."""

from collections.abc import Iterable
from itertools import chain, repeat

from rag_assets.db.models import EmbeddingSpace

_PAGE = 8192
_USABLE = 8160
_POINTER = 4
# A row longer than this keeps its vector beside the table, in pieces.
_LONGEST_ROW, _PIECE = 2032, 1996
# Header, space, hash and checksum, without the vector; and the place where it is, if that is beside the table.
_ROW, _ELSEWHERE = 72, 24
# An entry of the primary key, whose pages are about two thirds full, since hashes come in any order.
_KEY = 80
_ROWS_TRIED = 200


def table_bytes(dimensions: int, rows: int) -> int:
    """The partition of a space with its primary key."""
    vector = 8 + 4 * dimensions
    if _ROW + vector <= _LONGEST_ROW:
        return round(rows * (_bytes_each([_ROW + vector]) + _KEY))
    pieces, rest = divmod(vector, _PIECE)
    # Each piece is a row of its own, with an entry in an index of its own.
    beside = [size + 36 for size in (*repeat(_PIECE, pieces), rest) if size]
    return round(rows * (_bytes_each([_ROW + _ELSEWHERE]) + _bytes_each(beside) + _KEY + 22 * len(beside)))


def index_bytes(space: EmbeddingSpace, rows: int) -> int:
    """The vector index of a space; what does not fit into the rest of a page begins the next."""
    width = {"vector": 4 * space.dimensions, "halfvec": 2 * space.dimensions, "bit": -(-space.dimensions // 8)}
    stored = 8 + width[space.storage]
    if space.method == "ivfflat":
        return round(rows * _bytes_each([8 + stored]))
    # An element with room for ten rows, and its links: 2 m on the ground layer, m on each of those above.
    links = 4 + 6 * space.m * (2 + 1 / max(1, space.m - 1))
    return round(rows * _bytes_each([72 + stored + round(links) + _POINTER]))


def _bytes_each(sizes: Iterable[int]) -> float:
    """Bytes of pages for each row that has items of these sizes, filled one after the other."""
    sizes = [-(-size // 8) * 8 + _POINTER for size in sizes]
    pages, left = 1, _USABLE
    for size in chain.from_iterable(repeat(sizes, _ROWS_TRIED)):
        if size > left:
            pages, left = pages + 1, _USABLE
        left -= size
    return pages * _PAGE / _ROWS_TRIED
