"""Chunks with the same text, as in copies of a document: one of them is a hit, and names the others."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Uuid, any_, bindparam, select
from sqlalchemy.orm import aliased

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.results import ChunkCopy, Hit

# The chunks that were left out for a hit, by its chunk; none are known yet where the database has only counted them.
FoundCopies: TypeAlias = Mapping[UUID, Sequence[UUID]]


def drop_copies(hits: list[Hit]) -> tuple[list[Hit], dict[UUID, list[UUID]]]:
    """The first hit of each text, and what was left out."""
    if not _may_have_copies(hits):
        return hits, {}
    first: dict[str, Hit] = {}
    dropped: dict[UUID, list[UUID]] = {}
    for hit in hits:
        kept = first.setdefault(" ".join(hit.embedded_text.split()).casefold(), hit)
        if kept is not hit:
            dropped.setdefault(kept.chunk_id, []).append(hit.chunk_id)
    return list(first.values()), dropped


def merge_copies(connection: Connection, scores: Mapping[UUID, float], copied: Sequence[UUID]) -> dict[UUID, float]:
    """A ranking, best first, with each text once: as the chunk of `copied` that has it, where there is one.

    Other copies are dropped with the rows of the hits. Looking up the texts of all chunks would cost each search time.
    """
    if not copied:
        return dict(scores)
    chunks = [*copied, *scores]
    texts = dict(run_compiled(connection, _compiled_texts(), {"chunks": chunks}))
    first: dict[bytes, UUID] = {}
    for id_ in chunks:
        if id_ in texts:
            first.setdefault(texts[id_], id_)
    merged: dict[UUID, float] = {}
    for id_, score in scores.items():
        merged.setdefault(first[texts[id_]] if id_ in texts else id_, score)
    return merged


def add_copies(
    connection: Connection, space: EmbeddingSpace, filters: Filters, hits: Sequence[Hit], copies: FoundCopies
) -> None:
    """Set the copies of the hits that have some: all chunks with these texts that pass the filters."""
    chosen = {hit.chunk_id: hit for hit in hits if hit.chunk_id in copies}
    if not chosen:
        return
    hit_of = {id_: hit for hit in chosen.values() for id_ in (hit.chunk_id, *copies[hit.chunk_id])}
    known = aliased(DocumentChunk)
    statement = (
        select(known.id, Project.name, Document.file_path, Document.id, DocumentChunk.id)
        .select_from(DocumentChunk)
        .join(known, known.content_hash == DocumentChunk.content_hash)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(
            known.id == any_(bindparam("chunks", type_=ARRAY(Uuid))),
            DocumentChunk.chunking == space.chunking,
            *filters.conditions(),
        )
        .order_by(Project.name, Document.file_path, DocumentChunk.chunk_index)
    )
    found: dict[UUID, dict[UUID, ChunkCopy]] = {id_: {} for id_ in chosen}
    for id_, project, file_path, document_id, chunk_id in connection.execute(statement, {"chunks": list(hit_of)}):
        hit = hit_of[id_]
        if chunk_id != hit.chunk_id:
            found[hit.chunk_id][chunk_id] = ChunkCopy(project, file_path, document_id, chunk_id)
    for id_, others in found.items():
        chosen[id_].copies = list(others.values())


def _may_have_copies(hits: Sequence[Hit]) -> bool:
    """Whether two hits have the same text or the same score of one kind; comparing all texts takes longer."""
    vector = [hit.parts["vector"] for hit in hits if "vector" in hit.parts]
    if len(vector) == len(hits) and not any(hit.header for hit in hits):
        # Equal texts have equal vectors, unless their headers differ.
        return len(set(vector)) < len(vector)
    for values in ([hit.text for hit in hits], vector, [hit.parts["text"] for hit in hits if "text" in hit.parts]):
        if len(set(values)) < len(values):
            return True
    return False


@cache
def _compiled_texts() -> CompiledStatement:
    chosen = DocumentChunk.id == any_(bindparam("chunks", type_=ARRAY(Uuid)))
    return compile_statement(select(DocumentChunk.id, DocumentChunk.content_hash).where(chosen))
