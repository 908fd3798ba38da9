"""Projects: create, read, change and delete them from an application. The pipeline works on the same rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy import delete as delete_rows

from rag_assets.db.models import Document, DocumentChunk, Project
from rag_assets.db.reports.counts import ProjectCounts, count_project
from rag_assets.errors import UsageError
from rag_assets.projects.settings import dump_project_settings, parse_project_settings
from rag_assets.projects.store import find_project, get_project, save_project
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.orphans import delete_orphaned_vectors


def create(
    connection: Connection,
    name: str,
    source_uri: str,
    *,
    description: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Project:
    """Create a project; raises UsageError where the name is taken or no partition key, or a setting is invalid."""
    if find_project(connection, name) is not None:
        raise UsageError(f"project {name!r} exists already; choose another name, or update it.")
    project = save_project(connection, name, source_uri, dict(settings or {}))
    return entities.update_row(connection, Project, project.id, {"description": description})


def get(connection: Connection, name: str) -> Project:
    """The project; raises UsageError with the known names where there is none of this name."""
    return get_project(connection, name)


def list_all(connection: Connection) -> Sequence[Project]:
    """All projects, ordered by name."""
    return entities.fetch_all(connection, select(Project).order_by(Project.name))


def update(connection: Connection, name: str, changes: Mapping[str, Any]) -> Project:
    """Change `description`, `source_uri` or `settings`, and return the project; the next run applies the change.

    Raises UsageError for another column, an invalid setting and an unknown project.
    """
    values = entities.check_changes(Project, changes, "description", "source_uri", "settings")
    if "settings" in values:
        values["settings"] = dump_project_settings(parse_project_settings(name, values["settings"]))
    return entities.update_row(connection, Project, get_project(connection, name).id, values)


def counts(connection: Connection, name: str) -> ProjectCounts:
    """The numbers of rows stored for the project; raises UsageError for an unknown project."""
    get_project(connection, name)
    return count_project(connection, name)


def delete(connection: Connection, name: str) -> int:
    """Delete the project permanently, with its memories, documents, chunks and their unshared vectors.

    Its conversations stay, without a project. Returns the number of vectors deleted; raises UsageError for an unknown
    project.
    """
    project = get_project(connection, name)
    hashes = connection.scalars(
        select(DocumentChunk.content_hash).distinct().join(Document).where(Document.project_id == project.id)
    ).all()
    connection.execute(delete_rows(Project).where(Project.id == project.id))
    return delete_orphaned_vectors(connection, "chunks", hashes)
