"""What people should know of documents that were read: the one place that lists it, for checks, ingest and status."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, func, literal, or_, select, true
from sqlalchemy.dialects.postgresql import JSONB

from rag_assets.db.models import Document, Project
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
    statement = select(func.count()).select_from(Document).where(has_notes(), in_projects(projects))
    return connection.scalar(statement) or 0


def find_remarks(connection: Connection, projects: Sequence[str] | None = None, *, limit: int) -> list[DocumentRemark]:
    """The first documents with notes or with characters that could not be decoded, in the order of their paths."""
    statement = (
        select(Project.name, Document.file_path, Document.file_type, _NOTES, func.coalesce(REPLACED_CHARACTERS, 0))
        .join(Project, Project.id == Document.project_id)
        .where(Document.parse_report.is_not(None), or_(has_notes(), REPLACED_CHARACTERS > 0), in_projects(projects))
        .order_by(Project.name, Document.file_path)
        .limit(limit)
    )
    return [
        DocumentRemark(project, path, tuple(_sentences(file_type, notes or (), replaced)))
        for project, path, file_type, notes, replaced in connection.execute(statement)
    ]


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
    if projects is None:
        return true()
    return Document.project_id.in_(select(Project.id).where(Project.name.in_(projects)))


def _sentences(file_type: str, notes: Sequence[str], replaced: int) -> list[str]:
    if not replaced:
        return list(notes)
    characters = "1 character" if replaced == 1 else f"{replaced} characters"
    advice = "; save the file as UTF-8" if file_type in VERBATIM | STRUCTURED_TEXT else ""
    return [*notes, f"{characters} could not be decoded and became U+FFFD{advice}"]
