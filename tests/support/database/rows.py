"""Rows made without the pipeline: a project, a document, chunks, a space with random vectors."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Connection, Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.models.chunks import derive_chunk_id
from rag_assets.db.models.documents import derive_document_id
from rag_assets.db.models.projects import derive_project_id
from rag_assets.db.spaces.spaces import SpaceDefinition, ensure_space
from rag_assets.db.writes.rows import ChunkedDocument, ChunkRow, DocumentRow, EmbeddingRow
from rag_assets.db.writes.upserts import write_chunks, write_documents, write_embeddings
from rag_assets.documents.text import content_hash
from rag_assets.projects.store import save_project

DEFINITION = SpaceDefinition(
    kind="chunks",
    fingerprint="f1",
    chunking="c1",
    chunking_settings={"max_tokens": 64},
    model="some/model",
    revision="r1",
    dimensions=8,
    max_tokens=64,
    prompts={},
    normalize=True,
    distance="cosine",
    storage="vector",
    m=16,
    ef_construction=64,
)


def definition(fingerprint: str, **changed: Any) -> SpaceDefinition:
    return replace(DEFINITION, fingerprint=fingerprint, **changed)


def create_space(engine: Engine, wanted: SpaceDefinition = DEFINITION) -> EmbeddingSpace:
    with engine.begin() as connection:
        return ensure_space(connection, wanted)


def document(path: str = "a.md", content: str = "one two", *, project: str = "p", **changed: Any) -> DocumentRow:
    owner = derive_project_id(project)
    values: dict[str, Any] = {
        "id": derive_document_id(owner, path),
        "project_id": owner,
        "file_path": path,
        "title": "A",
        "content": content,
        "content_hash": content_hash(content),
        "file_type": "markdown",
        "size_bytes": len(content.encode()),
        "hash": content_hash(content).hex(),
        "source_version": "v1",
        "reader": "text-1",
        "metadata": {"lang": "en"},
    }
    return DocumentRow(**values | changed)


def split_document(row: DocumentRow, texts: Sequence[str], *, chunking: str = "c1") -> ChunkedDocument:
    """Split the document into these consecutive texts; equal texts are numbered, as in the stage."""
    chunks, at, seen = [], 0, dict[str, int]()
    for index, text in enumerate(texts):
        seen[text] = occurrence = seen.get(text, -1) + 1
        hash_ = content_hash(text)
        id_ = derive_chunk_id(row.id, chunking, hash_, occurrence)
        chunks.append(ChunkRow(id_, row.id, chunking, index, text, hash_, at, at + len(text), 3, ["A", "B"]))
        at += len(text)
    return ChunkedDocument(row.id, row.content_hash, chunks)


def add_document(connection: Connection, row: DocumentRow, *, project: str = "p") -> UUID:
    save_project(connection, project, "/docs", {})
    write_documents(connection, [row])
    return row.id


def unit_vectors(number: int, dimensions: int, *, seed: int = 0) -> Any:
    vectors = np.random.default_rng(seed).standard_normal((number, dimensions), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def add_vectors(engine: Engine, space: EmbeddingSpace, number: int, *, seed: int = 0) -> None:
    """Write `number` chunks of one document with random vectors of length 1."""
    texts = [f"text {seed} {index} " for index in range(number)]
    row = document(f"fill{seed}.md", "".join(texts))
    vectors = unit_vectors(number, space.dimensions, seed=seed)
    with engine.begin() as connection:
        add_document(connection, row)
        write_chunks(connection, space.chunking, [split_document(row, texts, chunking=space.chunking)])
        rows = [EmbeddingRow(content_hash(text), vector) for text, vector in zip(texts, vectors, strict=True)]
        write_embeddings(connection, space.id, rows)
