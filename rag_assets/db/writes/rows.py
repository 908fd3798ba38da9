"""The rows that stages hand to the writers: plain values, one class a table, no session attached."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Ids of derived rows are made of what the rows are, so a rebuild gives the same ids and a citation keeps working.
_NAMESPACE = uuid5(NAMESPACE_URL, "https://rag-assets/ids")


def project_id(name: str) -> UUID:
    return uuid5(_NAMESPACE, name)


def document_id(project: UUID, file_path: str) -> UUID:
    return uuid5(project, file_path)


def chunk_id(document: UUID, chunking: str, content_hash: bytes, occurrence: int) -> UUID:
    """The nth chunk of this text in the document: it keeps its id when lines are inserted before it."""
    return uuid5(document, f"{chunking}:{content_hash.hex()}:{occurrence}")


@dataclass(slots=True)
class DocumentRow:
    """A document that was read."""

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


@dataclass(slots=True)
class DocumentTouch:
    """A document whose source version changed while its bytes did not."""

    id: UUID
    source_version: str


@dataclass(slots=True)
class DocumentFailure:
    """A document that could not be read; `source_version` is None where reading may work next time."""

    id: UUID
    project_id: UUID
    file_path: str
    file_type: str
    error: str
    reader: str
    size_bytes: int | None = None
    hash: str | None = None
    source_version: str | None = None


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


@dataclass(slots=True)
class ChunkedDocument:
    """All chunks of one document, made of the text with this hash."""

    document_id: UUID
    content_hash: bytes
    chunks: list[ChunkRow]


@dataclass(slots=True)
class EmbeddingRow:
    content_hash: bytes
    embedding: "NDArray[np.float32]"


@dataclass(slots=True)
class EmbeddingFault:
    """A text that could not be embedded, and why."""

    content_hash: bytes
    error: str


@dataclass(slots=True)
class Written:
    """What a write did to its table, in rows; `size_bytes` is the text or vector data sent."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    failed: int = 0
    size_bytes: int = 0

    def __iadd__(self, other: "Written") -> "Written":
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self
