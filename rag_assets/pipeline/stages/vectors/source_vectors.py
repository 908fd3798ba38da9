"""Vectors that a source has already: stored for the texts of its rows as they are, instead of being embedded."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Engine, Select, exists, func, select, union_all

from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import (
    Document,
    DocumentChunk,
    DocumentChunking,
    EmbeddingSpace,
    StagedChunk,
    StagedChunking,
    StagedDocument,
)
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.shards import in_shard
from rag_assets.db.writes.rows import EmbeddingRow
from rag_assets.documents.sources import SourceDocument
from rag_assets.documents.text import clean, content_hash
from rag_assets.errors import UsageError
from rag_assets.pipeline.stages.batches import EmbeddingBatch
from rag_assets.pipeline.stages.project_isolation import LoadedProject
from rag_assets.pipeline.stages.vectors.vector_faults import vector_fault
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAGE_ROWS = 500


def take_source_vectors(
    engine: Engine, settings: Settings, space: EmbeddingSpace, project: LoadedProject
) -> Iterator[EmbeddingBatch]:
    """Stream the source's vectors of texts that have none in the space; the model embeds what is then left.

    A vector is that of a whole row, so only a row that is one chunk takes it, and only if the row still has the text
    that was read. Raises UsageError for a vector with other dimensions than the space.
    """
    from rag_assets.documents.sources.globs import Selection
    from rag_assets.documents.sources.rows.address import has_source_vectors, parse_row_address
    from rag_assets.documents.sources.rows.source import open_rows

    if not has_source_vectors(project.source_uri):
        return
    column = parse_row_address(project.source_uri).vector
    assert column is not None
    wait_s = settings.lock_wait_s
    with (
        hold_lock(engine, f"embeddings of {project.name} in space {space.id}", wait_s=wait_s, shared=True),
        hold_lock(engine, f"vectors of space {space.id}", wait_s=wait_s, shared=True),
        ExitStack() as opened,
    ):
        # This generator runs one batch ahead: with this empty batch, what was written before is committed.
        yield EmbeddingBatch(project.key, space.id)
        source, last = None, None
        while page := _pending_rows(engine, space, project, last):
            last = page[-1].id
            if source is None:
                source = open_rows(project.source_uri, Selection(), state_dir=settings.state_dir, project=project.name)
                opened.callback(source.close)
            found = source.read_vectors([row.file_path for row in page])
            rows: dict[bytes, EmbeddingRow] = {}
            unusable = 0
            for row in page:
                document, value = found.get(row.file_path, (None, None))
                if document is None or not _is_same_text(document, row):
                    continue
                vector = to_vector(value, row.file_path, column)
                if vector.shape != (space.dimensions,):
                    raise UsageError(
                        f"the vector of row {row.file_path} in column {column} has {len(vector)} dimensions, but "
                        f"those of {space.model} have {space.dimensions}; set RAG_ASSETS_MODEL (and "
                        "RAG_ASSETS_DIMENSIONS) to the model that made the vectors"
                    )
                vector = normalize_vector(vector) if space.normalize else vector
                if vector_fault(vector, space.dimensions, normalized=space.normalize):
                    unusable += 1
                    continue
                rows.setdefault(row.content_hash, EmbeddingRow(row.content_hash, vector))
            figures: dict[str, float] = {"taken_from_source": len(rows)}
            if unusable:
                figures["unusable_source_vectors"] = unusable
            yield EmbeddingBatch(project.key, space.id, list(rows.values()), figures=figures)


def _pending_rows(engine: Engine, space: EmbeddingSpace, project: LoadedProject, after: UUID | None) -> Sequence[Any]:
    """The next documents, by id, that are one chunk without a vector; a next version counts beside the one that serves.

    Pages are read by id: no cursor is open while the source is read.
    """
    served = _one_chunk(space, project, after, DocumentChunk, DocumentChunking, Document.hash, Document.content_hash)
    next_hash = func.coalesce(StagedDocument.hash, Document.hash)
    next_text = func.coalesce(StagedDocument.content_hash, Document.content_hash)
    staged = _one_chunk(space, project, after, StagedChunk, StagedChunking, next_hash, next_text)
    staged = staged.outerjoin(StagedDocument, StagedDocument.id == Document.id)
    both = union_all(*(part.order_by(Document.id).limit(PAGE_ROWS).subquery().select() for part in (served, staged)))
    found = both.subquery("one_chunk")
    with autocommit_connection(engine) as connection:
        return connection.execute(select(found).order_by(found.c.id).limit(PAGE_ROWS)).all()


def _one_chunk(
    space: EmbeddingSpace,
    project: LoadedProject,
    after: UUID | None,
    chunk: Any,
    split: Any,
    row_hash: Any,
    text_hash: Any,
) -> Select[Any]:
    stored = partition(space.id)
    statement = (
        select(
            Document.id,
            Document.file_path,
            row_hash.label("row_hash"),
            text_hash.label("text_hash"),
            chunk.content_hash.label("content_hash"),
        )
        .select_from(Document)
        .join(split, (split.document_id == Document.id) & (split.chunking == space.chunking) & (split.chunk_count == 1))
        .join(chunk, (chunk.document_id == Document.id) & (chunk.chunking == space.chunking))
        .where(Document.project_id == project.id, in_shard(project.shard))
        .where(~exists().where(stored.c.content_hash == chunk.content_hash))
    )
    return statement if after is None else statement.where(Document.id > after)


def _is_same_text(document: SourceDocument, row: Any) -> bool:
    """Whether the row still has the text that was read: a vector belongs to its text."""
    if document.digest == row.row_hash:
        return True
    text = document.content
    return isinstance(text, str) and content_hash(clean(text)) == bytes(row.text_hash)


def to_vector(value: Any, path: str, column: str) -> "NDArray[np.float32]":
    """A vector as databases give it: pgvector's text, an array of numbers, JSON, or 32-bit floats in bytes."""
    import json

    import numpy as np

    try:
        if isinstance(value, bytes | bytearray | memoryview):
            return np.frombuffer(bytes(value), dtype="<f4").astype(np.float32)
        vector = np.asarray(json.loads(value) if isinstance(value, str) else value, dtype=np.float32)
        if vector.ndim != 1:
            raise ValueError(f"it has {vector.ndim} axes")
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"column {column} of row {path} holds no vector ({error}); it must be a vector of pgvector, an array of "
            "numbers, or JSON like [0.1, 0.2]"
        ) from None
    return vector


def normalize_vector(vector: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """The vector with length 1."""
    import numpy as np

    length = float(np.linalg.norm(vector.astype(np.float64)))
    # A vector of length 0, NaN or infinity stays what it is, and is refused.
    return (vector / length).astype(np.float32) if 0 < length < float("inf") else vector
