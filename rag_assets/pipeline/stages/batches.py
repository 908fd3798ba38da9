"""The batches that stages stream to the IO manager: bounded, plain rows of one slice, and figures about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from rag_assets.db.writes.remote_batches import RemoteBatchEnd
    from rag_assets.db.writes.rows import (
        ChunkedDocument,
        DocumentFailureRow,
        DocumentRow,
        EmbeddingCostRow,
        EmbeddingFailureRow,
        EmbeddingRow,
        ReadersRow,
        SourceVersionRow,
    )


@dataclass(slots=True)
class DocumentBatch:
    """Rows of `documents` for the project `key`; `figures` count what is not a row."""

    key: str
    rows: "list[DocumentRow]" = field(default_factory=list)
    touches: "list[SourceVersionRow]" = field(default_factory=list)
    failures: "list[DocumentFailureRow]" = field(default_factory=list)
    readers: "list[ReadersRow]" = field(default_factory=list)
    deletions: list[UUID] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class ChunkBatch:
    """All chunks of some documents of the project `key`."""

    key: str
    chunking: str
    documents: "list[ChunkedDocument]"
    figures: dict[str, float] = field(default_factory=dict)
    language: str = "english"
    chunk_tokens: int | None = None
    overlap_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """Staged documents to publish, as far as they are complete in the live space.

    `without_refused`: the model works, so the texts that it refused are not waited for.
    """

    documents: Sequence[UUID]
    without_refused: bool


@dataclass(slots=True)
class EmbeddingBatch:
    """Vectors of one space. `key` is a project or a day (UTC), or "" for memories, which have no partitions."""

    key: str
    space_id: int
    rows: "list[EmbeddingRow]" = field(default_factory=list)
    faults: "list[EmbeddingFailureRow]" = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    # The kind of work, its amount and its seconds: what later estimates go by.
    throughput: tuple[str, float, float] | None = None
    cost: "EmbeddingCostRow | None" = None
    publish: Publication | None = None
    remote_end: "RemoteBatchEnd | None" = None
    # The model has embedded a probe after it refused texts: it is their fault.
    has_refused: bool = False


@dataclass(frozen=True, slots=True)
class FailedProject:
    """Stands in the stream where the stage failed for the project `key`; no batch of that project follows it."""

    key: str
    error: Exception

    @property
    def figures(self) -> Mapping[str, float]:
        return {}


Batch = DocumentBatch | ChunkBatch | EmbeddingBatch | FailedProject


class BatchStream:
    """What a table's asset returns. Dagster would take a bare generator for a stream of its own events."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return self._batches
