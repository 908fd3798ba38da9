"""What the stages hand to the IO manager: bounded batches that know their slice and how to be written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from rag_assets.db.writes.rows import (
        ChunkedDocument,
        DocumentFailureRow,
        DocumentRow,
        EmbeddingFailureRow,
        EmbeddingRow,
        SourceVersionRow,
        WriteCounts,
    )
    from rag_assets.pipeline.stages.project_isolation import Failed


class Batch(Protocol):
    """Some rows of one slice, named by its partition key ("" where there are none); `write` runs inside one transaction
    and keeps which run it was, where rows say so; `figures` count what is not a row."""

    @property
    def key(self) -> str: ...

    @property
    def figures(self) -> Mapping[str, float]: ...

    def write(self, connection: "Connection", run_id: str | None = None, /) -> "WriteCounts": ...


@dataclass(slots=True)
class DocumentBatch:
    key: str
    rows: "list[DocumentRow]" = field(default_factory=list)
    touches: "list[SourceVersionRow]" = field(default_factory=list)
    failures: "list[DocumentFailureRow]" = field(default_factory=list)
    deletions: list[UUID] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def write(self, connection: "Connection", run_id: str | None = None, /) -> "WriteCounts":
        from rag_assets.db.writes import upserts

        written = upserts.write_documents(connection, self.rows, run_id)
        written += upserts.write_document_failures(connection, self.failures)
        written += upserts.delete_documents(connection, self.deletions)
        upserts.write_source_versions(connection, self.touches)
        return written


@dataclass(slots=True)
class ChunkBatch:
    key: str
    chunking: str
    documents: "list[ChunkedDocument]"
    figures: dict[str, float] = field(default_factory=dict)
    language: str = "english"
    chunk_tokens: int | None = None
    overlap_tokens: int | None = None

    def write(self, connection: "Connection", run_id: str | None = None, /) -> "WriteCounts":
        from rag_assets.db.writes import upserts

        return upserts.write_chunks(
            connection,
            self.chunking,
            self.documents,
            run_id,
            language=self.language,
            chunk_tokens=self.chunk_tokens,
            overlap_tokens=self.overlap_tokens,
        )


@dataclass(slots=True)
class EmbeddingBatch:
    key: str
    space_id: int
    rows: "list[EmbeddingRow]" = field(default_factory=list)
    faults: "list[EmbeddingFailureRow]" = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    # What was done, how much of it, and the seconds that it took: for estimates to come.
    worked: tuple[str, float, float] | None = None

    def write(self, connection: "Connection", _run_id: str | None = None, /) -> "WriteCounts":
        from rag_assets.db.reports import throughput
        from rag_assets.db.writes import upserts

        if self.worked is not None:
            throughput.record_throughput(connection, *self.worked)
        return upserts.write_embeddings(connection, self.space_id, self.rows, self.faults)


class DocumentBatches:
    """The stream that raw_documents gives, where it failed for a project that too; a class of our own, since Dagster
    takes generators for events."""

    def __init__(self, batches: "Iterator[DocumentBatch | Failed]") -> None:
        self._batches = batches

    def __iter__(self) -> "Iterator[DocumentBatch | Failed]":
        return self._batches


class ChunkBatches:
    """The stream that chunks gives."""

    def __init__(self, batches: "Iterator[ChunkBatch | Failed]") -> None:
        self._batches = batches

    def __iter__(self) -> "Iterator[ChunkBatch | Failed]":
        return self._batches


class EmbeddingBatches:
    """The stream that embeddings gives."""

    def __init__(self, batches: "Iterator[EmbeddingBatch | Failed]") -> None:
        self._batches = batches

    def __iter__(self) -> "Iterator[EmbeddingBatch | Failed]":
        return self._batches
