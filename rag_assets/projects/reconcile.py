"""Make the table of projects match the declarations. Projects no longer declared are reported, not deleted."""

from dataclasses import dataclass, field

from sqlalchemy import Connection

from rag_assets.db.schema.text_search import check_language
from rag_assets.errors import UsageError
from rag_assets.projects.declarations import Declarations
from rag_assets.projects.store import find_project, get_projects, save_project


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """Names of projects: created, updated to their declaration, and no longer declared."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)


def reconcile_projects(connection: Connection, declarations: Declarations | None) -> ReconcileResult:
    """Create or update each declared project: its source, its settings, and its description where one is declared.

    Other projects stay unchanged. Documents that an application has deleted stay excluded. Raises UsageError for a
    language that the server does not have.
    """
    result = ReconcileResult()
    declared = {} if declarations is None else {one.name: one for one in declarations.projects}
    for name, wanted in declared.items():
        assert declarations is not None
        stored = find_project(connection, name)
        settings = dict(wanted.settings)
        if settings.get("language"):
            check_language(connection, settings["language"])
        if stored and stored.settings.get("forgotten"):
            settings["forgotten"] = stored.settings["forgotten"]
        current = stored and (stored.source_uri, stored.settings, stored.declared_in, stored.removed_at)
        if stored and wanted.description is not None and stored.description != wanted.description:
            current = None
        if current == (wanted.source, settings, declarations.origin, None):
            continue
        save_project(
            connection,
            name,
            wanted.source,
            settings,
            description=wanted.description,
            declared_in=declarations.origin,
        )
        (result.changed if stored else result.added).append(name)
    result.undeclared.extend(
        project.name
        for project in get_projects(connection)
        if project.declared_in and project.name not in declared and project.removed_at is None
    )
    return result


def check_not_declared(declarations: Declarations | None, name: str) -> None:
    """Raise UsageError where the project is declared: the next reconciliation would undo a change by hand."""
    if declarations is not None and any(one.name == name for one in declarations.projects):
        raise UsageError(f"project {name} is declared in {declarations.origin}; change it there.")
