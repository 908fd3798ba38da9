"""The chunks and the queries on which two models are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.db.models.chunks import EMBEDDED_TEXT
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.vector_codec import as_array
from rag_assets.search.evaluation.beir import match_document_ids
from rag_assets.search.evaluation.queries import EvaluationQuerySet
from rag_assets.search.evaluation.thresholds import quality_requirements

MADE_QUERIES = 50

# (project, file path)
DocumentKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SampledChunk:
    document: DocumentKey
    text: str
    name: str | None
    vector: Any


@dataclass(frozen=True, slots=True)
class TrialQuery:
    text: str
    relevant: Mapping[DocumentKey, int]


def judged_queries(connection: Connection, live: EmbeddingSpace, project: str | None) -> list[TrialQuery]:
    found = []
    for requirement in quality_requirements(connection, project):
        query_set = requirement.read()
        names = _names_of_documents(connection, live, requirement.project, query_set)
        for query in query_set.queries:
            relevant = {
                (requirement.project, path): grade
                for name, grade in query.relevant.items()
                for path in names.get(name, ())
            }
            if any(relevant.values()):
                found.append(TrialQuery(query.text, relevant))
    return found


def _names_of_documents(
    connection: Connection, live: EmbeddingSpace, project: str, query_set: EvaluationQuerySet
) -> dict[str, list[str]]:
    """The paths of the documents with chunks, by the name that the queries judge them by."""
    statement = select(Document.file_path).join(Project, Project.id == Document.project_id)
    has_chunk = select(DocumentChunk.id).where(
        DocumentChunk.document_id == Document.id, DocumentChunk.chunking == live.chunking
    )
    paths = connection.scalars(statement.where(Project.name == project, has_chunk.exists())).all()
    if not query_set.by_document_id:
        return {path: [path] for path in paths}
    names: dict[str, list[str]] = {}
    judged = {name for query in query_set.queries for name in query.relevant}
    for path, name in match_document_ids(paths, judged).items():
        names.setdefault(name, []).append(path)
    return names


def sample_chunks(
    connection: Connection, live: EmbeddingSpace, project: str | None, wanted: set[DocumentKey], number: int
) -> list[SampledChunk]:
    """Up to `number` chunks with their live vectors: of the wanted documents, at most half, then any.

    Within both, they are in the order of their hashes, which is a random order.
    """
    stored = partition(live.id)
    statement = (
        select(
            Project.name,
            Document.file_path,
            EMBEDDED_TEXT,
            DocumentChunk.heading_path,
            Document.title,
            DocumentChunk.content_hash,
            stored.c.embedding,
        )
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .join(stored, stored.c.content_hash == DocumentChunk.content_hash)
        .where(DocumentChunk.chunking == live.chunking)
        .order_by(DocumentChunk.content_hash)
    )
    if project is not None:
        statement = statement.where(Project.name == project)
    paths = {path for _, path in wanted}
    first = (
        connection.execute(statement.where(Document.file_path.in_(paths)).limit(number // 2)).all() if wanted else []
    )
    rest = connection.execute(statement.limit(number + len(first))).all()
    chunks: dict[bytes, SampledChunk] = {}
    for name, path, text, headings, title, hash_, vector in (*first, *rest):
        if len(chunks) < number:
            own_name = headings[-1] if headings else title
            chunks.setdefault(hash_, SampledChunk((name, path), text, own_name, as_array(vector)))
    return list(chunks.values())


def made_queries(chunks: Sequence[SampledChunk]) -> list[TrialQuery]:
    """Headings and titles that should find their own document; without any, beginnings of the texts."""
    named: dict[str, dict[DocumentKey, int]] = {}
    for chunk in chunks:
        if chunk.name is not None:
            named.setdefault(chunk.name, {})[chunk.document] = 1
    if not named:
        for chunk in chunks:
            named.setdefault(" ".join(chunk.text[:80].split()), {})[chunk.document] = 1
    return [TrialQuery(text, relevant) for text, relevant in list(named.items())[:MADE_QUERIES]]
