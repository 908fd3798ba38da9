"""What people should know of documents that were read: the one place that lists it, for checks, ingest and status."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from rag_assets.db.models import Document, DocumentChunking, Project
from rag_assets.db.spaces.chunk_limit import end_of_chunks, is_cut_short, may_be_cut_short
from rag_assets.db.spaces.shards import of_explicit_keys
from rag_assets.documents.parsing.file_types import STRUCTURED_TEXT, VERBATIM
from rag_assets.documents.parsing.remarks import EMPTY_FILE

# How many characters of a document stand for bytes that could not be decoded.
REPLACED_CHARACTERS = Document.parse_report["replaced_characters"].as_integer()
_NOTES = Document.parse_report["notes"]


@dataclass(frozen=True, slots=True)
class DocumentRemark:
    """`notes` are sentences: what was not read, why, and what to do."""

    project: str
    file_path: str
    notes: tuple[str, ...]


def has_notes() -> ColumnElement[bool]:
    """Whether a document was read, but not as a reader would. An empty file needs no attention."""
    return (Document.status == "ok") & _NOTES.is_not(None) & (literal([EMPTY_FILE], JSONB) != _NOTES)


def count_documents_with_notes(connection: Connection, projects: Sequence[str] | None = None) -> int:
    """How many were not read as a whole, or not split as a whole."""
    statement = select(func.count()).select_from(Document).where(or_(has_notes(), _is_cut()), in_projects(projects))
    return connection.scalar(statement) or 0


def find_remarks(connection: Connection, projects: Sequence[str] | None = None, *, limit: int) -> list[DocumentRemark]:
    """The first documents with notes or with characters that could not be decoded, in the order of their paths."""
    reported = and_(Document.parse_report.is_not(None), or_(has_notes(), REPLACED_CHARACTERS > 0))
    of_nobody = Document.readers_error.is_not(None)
    statement = (
        select(Document.id, Project.name, Document.file_path, Document.file_type)
        .add_columns(_NOTES, func.coalesce(REPLACED_CHARACTERS, 0), Document.readers_error)
        .join(Project, Project.id == Document.project_id)
        .where(or_(reported, _is_cut(), of_nobody), in_projects(projects))
        .order_by(Project.name, Document.file_path)
        .limit(limit)
    )
    cut = _describe_cuts(connection)
    return [
        DocumentRemark(
            project,
            path,
            (*_sentences(file_type, notes or (), replaced), *cut.get(id_, ()), *([error] if error else [])),
        )
        for id_, project, path, file_type, notes, replaced, error in connection.execute(statement)
    ]


def count_documents_of_nobody(connection: Connection, projects: Sequence[str] | None = None) -> int:
    """How many nobody may read, since the declaration of their readers could not be used."""
    statement = select(func.count()).select_from(Document)
    return connection.scalar(statement.where(Document.readers_error.is_not(None), in_projects(projects))) or 0


def _is_cut() -> ColumnElement[bool]:
    stamp = DocumentChunking
    maybe = select(stamp.document_id).where(may_be_cut_short(stamp))
    return and_(Document.id.in_(maybe), exists().where(stamp.document_id == Document.id, is_cut_short(stamp)))


def _describe_cuts(connection: Connection) -> dict[UUID, tuple[str]]:
    """By document, what RAG_ASSETS_MAX_CHUNKS left out; the chunking with the most text counts."""
    stamp = DocumentChunking
    statement = (
        select(Document.id, stamp.chunk_count, end_of_chunks(stamp).label("end"), func.length(Document.content))
        .join_from(stamp, Document, Document.id == stamp.document_id)
        .where(is_cut_short(stamp))
        .order_by("end")
    )
    return {id_: (_cut_sentence(count, end / length),) for id_, count, end, length in connection.execute(statement)}


def _cut_sentence(chunks: int, share: float) -> str:
    return (
        f"only its first {chunks:,} chunks are searchable, {math.floor(100 * share)}% of its text; split the file, "
        "exclude it, or raise RAG_ASSETS_MAX_CHUNKS"
    )


def count_undecoded_documents(connection: Connection, projects: Sequence[str] | None = None) -> tuple[int, int]:
    """The number of documents with characters that could not be decoded, and of these characters."""
    replaced = func.coalesce(func.sum(REPLACED_CHARACTERS), 0)
    statement = select(func.count(), replaced).where(REPLACED_CHARACTERS > 0, in_projects(projects))
    documents, characters = connection.execute(statement.select_from(Document)).one()
    return documents, characters


def undecoded_documents(projects: Sequence[str] | None = None) -> Select[str, str, int]:
    """The documents in which U+FFFD stands for bytes that could not be decoded, and how often."""
    return (
        select(Project.name.label("project"), Document.file_path, REPLACED_CHARACTERS.label("replaced_characters"))
        .join(Project, Project.id == Document.project_id)
        .where(REPLACED_CHARACTERS > 0, in_projects(projects))
        .order_by(Project.name, Document.file_path)
    )


def in_projects(projects: Sequence[str] | None) -> ColumnElement[bool]:
    """Whether the document is of these projects or shards (`name:01of16`); with None, always."""
    return of_explicit_keys(projects)


def _sentences(file_type: str, notes: Sequence[str], replaced: int) -> list[str]:
    if not replaced:
        return list(notes)
    characters = "1 character" if replaced == 1 else f"{replaced} characters"
    advice = "; save the file as UTF-8" if file_type in VERBATIM | STRUCTURED_TEXT else ""
    return [*notes, f"{characters} could not be decoded and became U+FFFD{advice}"]
