"""The statements behind the table slices: the rows of some projects or days, and their number."""

from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, union_all
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from rag_assets.db.models import Document, DocumentChunk, Embedding, EmbeddingSpace, Project, StagedChunk
from rag_assets.db.models.chunks import EMBEDDED_TEXT
from rag_assets.db.spaces.pending import is_replaced
from rag_assets.db.spaces.shards import of_explicit_keys
from rag_assets.db.spaces.spaces import select_serving_space
from rag_assets.db.spaces.text_kinds import Kind, created_on_day, text_source_of_kind


def select_rows(table: str, projects: tuple[str, ...]) -> Select[Any]:
    """The projects' rows of the table, in a stable order."""
    columns: list[Any]
    order: list[Any]
    match table:
        case "documents":
            columns = [Project.name.label("project"), *_columns(Document, "project_id")]
            order = [Project.name, Document.file_path]
        case "document_chunks":
            columns = [
                Project.name.label("project"),
                Document.file_path,
                *_columns(DocumentChunk, "tsv", "language"),
            ]
            order = [Project.name, Document.file_path, DocumentChunk.chunk_index]
        case _:
            columns = [*_columns(Embedding, "checksum"), EMBEDDED_TEXT.label("chunk_text")]
            # One row for each text, even if several chunks have it.
            return (
                _select_of_projects(table, projects, *columns)
                .ext(distinct_on(Embedding.content_hash))
                .order_by(Embedding.content_hash, DocumentChunk.id)
            )
    return _select_of_projects(table, projects, *columns).order_by(*order)


def count_rows(table: str, projects: tuple[str, ...]) -> Select[Any]:
    return _select_of_projects(table, projects, _row_count(table))


def count_by_project(table: str, projects: tuple[str, ...]) -> Select[Any]:
    """(name of the project, number of rows), for projects that have any; chunks that wait count for those they replace.

    A run's chunks would otherwise be missing from its figures until they have vectors.
    """
    if table == "document_chunks":
        served = _select_of_projects(table, projects, Project.name).where(~is_replaced(DocumentChunk))
        serving = aliased(EmbeddingSpace, select_serving_space().subquery())
        waiting = (
            select(Project.name)
            .select_from(StagedChunk)
            .join(Document, Document.id == StagedChunk.document_id)
            .join(Project, Project.id == Document.project_id)
            .join(serving, serving.chunking == StagedChunk.chunking)
            .where(of_explicit_keys(projects))
        )
        chunks = union_all(served, waiting).subquery("chunks")
        return select(chunks.c.name, func.count()).group_by(chunks.c.name)
    return _select_of_projects(table, projects, Project.name, _row_count(table)).group_by(Project.name)


def _row_count(table: str) -> ColumnElement[int]:
    # Several chunks can have one text; the rows of the other tables are counted as they are, since DISTINCT sorts them.
    return func.count(Embedding.content_hash.distinct()) if table == "embeddings" else func.count()


def select_whole_texts(kind: Kind, days: tuple[str, ...]) -> Select[Any]:
    """Vectors with their texts, one row for each text in use that was made on these days; with no days, on any."""
    texts = text_source_of_kind(kind)
    columns = [*_columns(Embedding, "checksum"), texts.content.label("content")]
    statement = _select_whole_texts(kind, days, *columns).ext(distinct_on(Embedding.content_hash))
    return statement.order_by(Embedding.content_hash)


def count_whole_texts(kind: Kind, days: tuple[str, ...]) -> Select[Any]:
    return _select_whole_texts(kind, days, func.count(Embedding.content_hash.distinct()))


def _select_whole_texts(kind: Kind, days: tuple[str, ...], *columns: Any) -> Select[Any]:
    texts = text_source_of_kind(kind)
    serving = select_serving_space(kind).with_only_columns(EmbeddingSpace.id).scalar_subquery()
    statement = (
        select(*columns)
        .select_from(texts.table)
        .join(Embedding, (Embedding.space_id == serving) & (Embedding.content_hash == texts.content_hash))
        .where(texts.in_use)
    )
    made_on = [created_on_day(texts, date.fromisoformat(day)) for day in days if day]
    return statement.where(or_(*made_on)) if made_on else statement


def _select_of_projects(table: str, projects: tuple[str, ...], *columns: Any) -> Select[Any]:
    statement = select(*columns).select_from(Document).join(Project, Project.id == Document.project_id)
    if table != "documents":
        # What searches see: the live space, or the newest one while none is live.
        serving = aliased(EmbeddingSpace, select_serving_space().subquery())
        statement = statement.join(DocumentChunk, DocumentChunk.document_id == Document.id).join(
            serving, serving.chunking == DocumentChunk.chunking
        )
        if table == "embeddings":
            statement = statement.join(
                Embedding,
                (Embedding.space_id == serving.id) & (Embedding.content_hash == DocumentChunk.content_hash),
            )
    return statement.where(of_explicit_keys(projects))


def _columns(model: Any, *left_out: str) -> list[ColumnElement[Any]]:
    return [column for column in model.__table__.columns if column.name not in left_out]
