"""The rows that stages pass to the writers: plain values, without a session."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True)
class DocumentRow:
    """A document that was read successfully."""

    id: UUID
    project_id: UUID
    file_path: str
    title: str | None
    content: str
    content_hash: bytes
    file_type: str
    size_bytes: int
    hash: str
    source_version: str
    reader: str
    metadata: dict[str, Any] = field(default_factory=dict)
    parse_report: dict[str, Any] | None = None
    readers: list[str] | None = None
    readers_error: str | None = None


@dataclass(slots=True)
class ReadersRow:
    """Who may read a document, where that changed."""

    id: UUID
    readers: list[str] | None
    readers_error: str | None


@dataclass(slots=True)
class SourceVersionRow:
    """The new source version of a document whose bytes did not change."""

    id: UUID
    source_version: str


@dataclass(slots=True)
class DocumentFailureRow:
    """A document that could not be read; `source_version` is None if the next run should try again."""

    id: UUID
    project_id: UUID
    file_path: str
    file_type: str
    error: str
    reader: str
    size_bytes: int | None = None
    hash: str | None = None
    source_version: str | None = None
    readers: list[str] | None = None
    readers_error: str | None = None


@dataclass(slots=True)
class ChunkRow:
    id: UUID
    document_id: UUID
    chunking: str
    chunk_index: int
    chunk_text: str
    content_hash: bytes
    char_start: int
    char_end: int
    token_count: int
    heading_path: list[str]
    header: str | None = None
    page: int | None = None


@dataclass(slots=True)
class ChunkedDocument:
    """All chunks of one document, made from the text with this hash: its own, or that of its next version."""

    document_id: UUID
    content_hash: bytes
    chunks: list[ChunkRow]
    unknown_share: float = 0.0
    of_staged_text: bool = False


@dataclass(slots=True)
class EmbeddingRow:
    content_hash: bytes
    embedding: "NDArray[np.float32]"


@dataclass(slots=True)
class EmbeddingFailureRow:
    """A text that could not be embedded, with the reason."""

    content_hash: bytes
    error: str


@dataclass(frozen=True, slots=True)
class EmbeddingCostRow:
    """What a batch has cost; with `paused`, why a budget stopped the run instead."""

    id: UUID
    model: str
    tokens: int
    cost: float | None
    paused: str | None = None


@dataclass(slots=True)
class WriteCounts:
    """Rows that a write inserted, updated, deleted …; `size_bytes` is the size of the text or vectors that it sent."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    failed: int = 0
    size_bytes: int = 0

    def __iadd__(self, other: "WriteCounts") -> "WriteCounts":
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self
