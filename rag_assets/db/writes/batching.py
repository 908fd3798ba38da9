"""Documents taken together: as many as are worth one statement, as few as fit into memory."""

from collections.abc import Iterable, Iterator
from uuid import UUID

MOST_DOCUMENTS = 200
MOST_BYTES = 2_000_000


def grouped(sizes: Iterable[tuple[UUID, int]]) -> Iterator[list[UUID]]:
    """Cut (id, bytes of text) into groups, in order; a document larger than the bound is a group of its own."""
    group: list[UUID] = []
    held = 0
    for id_, size in sizes:
        if group and (len(group) >= MOST_DOCUMENTS or held + size > MOST_BYTES):
            yield group
            group, held = [], 0
        group.append(id_)
        held += size
    if group:
        yield group
