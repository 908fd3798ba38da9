"""A space with known vectors over two projects, and distances computed with numpy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from rag_assets.db.index.build import ensure_index
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.spaces import set_live_space
from rag_assets.db.spaces.vector_codec import register_packed_vectors
from rag_assets.db.writes.rows import ChunkedDocument, DocumentRow, EmbeddingRow
from rag_assets.db.writes.upserts import write_chunks, write_documents, write_embeddings
from rag_assets.projects.store import save_project
from rag_assets.search.analysis.similar import ReferenceVector
from rag_assets.search.filters.document_filters import NO_FILTERS, Filters
from rag_assets.search.vector.nearest import KnnQuery, KnnResult, search_nearest
from rag_assets.search.vector.selectivity import SelectivityCache
from tests.support.database.rows import create_space, definition, document, split_document

DIMENSIONS = 8
DOCUMENTS = 30
PROJECTS = ("p", "q")
SHARED = "shared text. "


@dataclass(frozen=True)
class StoredChunk:
    """One chunk in the database, with its vector."""

    chunk_id: UUID
    document_id: UUID
    project: str
    file_path: str
    index: int
    content_hash: bytes
    vector: NDArray[np.float64]


@dataclass(frozen=True)
class Corpus:
    space: EmbeddingSpace
    chunks: list[StoredChunk]

    def chunks_of(self, file_path: str, project: str = "p") -> list[StoredChunk]:
        return [one for one in self.chunks if (one.project, one.file_path) == (project, file_path)]

    def mean(self, chunks: list[StoredChunk]) -> NDArray[np.float64]:
        """The mean vector; it has length 1 for cosine, like the averages in the space."""
        mean: NDArray[np.float64] = np.mean([one.vector for one in chunks], axis=0)
        return mean / np.linalg.norm(mean) if self.space.distance == "cosine" else mean

    def distance(self, one: NDArray[np.float64], other: NDArray[np.float64], kind: str | None = None) -> float:
        match kind or self.space.distance:
            case "cosine":
                return 1 - float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
            case "l2":
                return float(np.linalg.norm(one - other))
            case "l1":
                return float(np.abs(one - other).sum())
        return -float(one @ other)


def make_corpus(
    engine: Engine,
    distance: str = "cosine",
    storage: str = "vector",
    *,
    normalize: bool | None = None,
    method: str = "hnsw",
) -> Corpus:
    """30 documents of 4 chunks each in two projects. One text is in every fifth document, and twice in the first.

    By default vectors have length 1 for cosine and about 3 for other distances; `normalize` overrides this.
    """
    normalize = distance == "cosine" if normalize is None else normalize
    space = create_space(
        engine, definition("f1", distance=distance, storage=storage, normalize=normalize, method=method)
    )
    random = np.random.default_rng(7)
    vectors: dict[str, Any] = {}
    stored = []
    for project in PROJECTS:
        numbers = range(PROJECTS.index(project), DOCUMENTS, 2)
        documents = [_document(number, project) for number in numbers]
        for text in (chunk.chunk_text for _, whole in documents for chunk in whole.chunks):
            vector = random.standard_normal(DIMENSIONS)
            vectors.setdefault(text, vector / np.linalg.norm(vector) if normalize else vector)
        chunks = [(row, chunk) for row, whole in documents for chunk in whole.chunks]
        hashes = {chunk.content_hash: vectors[chunk.chunk_text].astype(np.float32) for _, chunk in chunks}
        with engine.begin() as connection:
            save_project(connection, project, "/docs", {})
            write_documents(connection, [row for row, _ in documents])
            write_chunks(connection, space.chunking, [whole for _, whole in documents])
            write_embeddings(connection, space.id, [EmbeddingRow(*item) for item in hashes.items()])
        stored += [
            StoredChunk(
                one.id, row.id, project, row.file_path, one.chunk_index, one.content_hash, vectors[one.chunk_text]
            )
            for row, one in chunks
        ]
    ensure_index(engine, space)
    with engine.begin() as connection:
        set_live_space(connection, space)
    return Corpus(space, stored)


def _document(number: int, project: str) -> tuple[DocumentRow, ChunkedDocument]:
    texts = [f"text {number} {part}. " for part in range(4)]
    if number % 5 == 0:
        texts[2] = SHARED
    if number == 0:
        texts[3] = SHARED
    kind = "text" if number % 3 == 0 else "markdown"
    row = document(f"d{number:02}.md", "".join(texts), project=project, file_type=kind)
    return row, split_document(row, texts)


def search_similar(
    connection: Connection,
    reference_of: Callable[..., ReferenceVector],
    space: EmbeddingSpace,
    id_: UUID,
    *,
    k: int = 10,
    filters: Filters = NO_FILTERS,
    equal_texts: bool = False,
) -> KnnResult:
    """The chunks nearest to what `chunk_reference` or `document_reference` returns, on one connection."""
    register_packed_vectors(connection.connection)
    reference = reference_of(connection, space, id_, equal_texts=equal_texts)
    ef_search = min(1_000, max(k, space.ef_search))
    query = KnnQuery(
        space, reference.vector, k, ef_search, space.distance, filters=filters, excluded=reference.excluded
    )
    return search_nearest(connection, query, SelectivityCache())
