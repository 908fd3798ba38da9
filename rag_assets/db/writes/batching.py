"""Groups of documents for one statement each, bounded in number and in bytes of memory."""

from collections.abc import Iterable, Iterator
from uuid import UUID

MAX_DOCUMENTS = 200
MAX_BYTES = 2_000_000


def group_documents(sizes: Iterable[tuple[UUID, int]]) -> Iterator[list[UUID]]:
    """Group (id, bytes of text) in order; a document larger than the bound is a group of its own."""
    group: list[UUID] = []
    size_bytes = 0
    for id_, size in sizes:
        if group and (len(group) >= MAX_DOCUMENTS or size_bytes + size > MAX_BYTES):
            yield group
            group, size_bytes = [], 0
        group.append(id_)
        size_bytes += size
    if group:
        yield group
