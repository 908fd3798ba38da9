"""Projects: create, read, change and delete them from an application. The pipeline works on the same rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy import delete as delete_rows

from rag_assets.db.models import Document, DocumentChunk, Project
from rag_assets.db.reports.counts import ProjectCounts, count_project
from rag_assets.documents.sources.rows.address import refuse_password
from rag_assets.errors import UsageError
from rag_assets.projects.settings import dump_project_settings, parse_project_settings
from rag_assets.projects.store import check_project_name, find_project, get_project, save_project
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
    if "source_uri" in values:
        refuse_password(values["source_uri"])
    if "settings" in values:
        values["settings"] = dump_project_settings(parse_project_settings(name, values["settings"]))
    return entities.update_row(connection, Project, get_project(connection, name).id, values)


def rename(connection: Connection, name: str, new_name: str) -> Project:
    """Give the project another name, and return it. Its documents, chunks and vectors stay as they are, with their ids.

    Raises UsageError for an unknown project, for a name that is taken or no partition key, and for a declared project
    until its declaration has the new name.
    """
    project, taken = get_project(connection, name), find_project(connection, check_project_name(new_name))
    if taken is not None:
        # A declaration with the new name has made a row for it, which has nothing yet.
        if project.declared_in is None or taken.declared_in != project.declared_in or _has_documents(connection, taken):
            raise UsageError(f"project {new_name!r} exists already; choose another name, or remove that project first.")
        connection.execute(delete_rows(Project).where(Project.id == taken.id))
    elif project.declared_in is not None:
        raise UsageError(
            f"project {name} is declared in {project.declared_in}; change its name there, "
            f"then run rag-assets projects rename {name} {new_name}."
        )
    return entities.update_row(connection, Project, project.id, {"name": new_name})


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


def _has_documents(connection: Connection, project: Project) -> bool:
    return bool(connection.scalar(select(select(Document.id).where(Document.project_id == project.id).exists())))
