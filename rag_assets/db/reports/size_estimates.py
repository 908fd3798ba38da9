"""Estimates of the size of vectors and their index, from the layout of PostgreSQL's pages and pgvector's tuples."""

from collections.abc import Iterable
from itertools import chain, repeat

from rag_assets.db.models import EmbeddingSpace

_PAGE = 8192
_USABLE = 8160
_ITEM_POINTER = 4
# Above this length of the row its vector is stored out of line (TOAST), in chunks of this size.
_MAX_ROW, _TOAST_CHUNK = 2032, 1996
# Header, space, hash and checksum, without the vector; and the pointer to a vector that is stored out of line.
_ROW, _TOAST_POINTER = 72, 24
# An entry of the primary key; its pages are about two thirds full, because hashes arrive in random order.
_KEY = 80
# Rows over which the share of a page per row is averaged.
_SAMPLE_ROWS = 200


def estimate_table_bytes(dimensions: int, rows: int) -> int:
    """The size of a space's partition with its primary key."""
    vector = 8 + 4 * dimensions
    if _ROW + vector <= _MAX_ROW:
        return round(rows * (_bytes_per_row([_ROW + vector]) + _KEY))
    chunks, rest = divmod(vector, _TOAST_CHUNK)
    # Each chunk is a row of the TOAST table, with an entry in its index.
    toast = [size + 36 for size in (*repeat(_TOAST_CHUNK, chunks), rest) if size]
    return round(rows * (_bytes_per_row([_ROW + _TOAST_POINTER]) + _bytes_per_row(toast) + _KEY + 22 * len(toast)))


def estimate_index_bytes(space: EmbeddingSpace, rows: int) -> int:
    """The size of a space's vector index; a tuple that does not fit into the rest of a page starts the next page."""
    width = {"vector": 4 * space.dimensions, "halfvec": 2 * space.dimensions, "bit": -(-space.dimensions // 8)}
    stored = 8 + width[space.storage]
    if space.method == "ivfflat":
        return round(rows * _bytes_per_row([8 + stored]))
    # An element with room for ten row pointers, and its links: 2 m on layer 0, m on each layer above.
    links = 4 + 6 * space.m * (2 + 1 / max(1, space.m - 1))
    return round(rows * _bytes_per_row([72 + stored + round(links) + _ITEM_POINTER]))


def _bytes_per_row(sizes: Iterable[int]) -> float:
    """Bytes of pages per row, for rows that have items of these sizes, filled in order."""
    sizes = [-(-size // 8) * 8 + _ITEM_POINTER for size in sizes]
    pages, left = 1, _USABLE
    for size in chain.from_iterable(repeat(sizes, _SAMPLE_ROWS)):
        if size > left:
            pages, left = pages + 1, _USABLE
        left -= size
    return pages * _PAGE / _SAMPLE_ROWS
