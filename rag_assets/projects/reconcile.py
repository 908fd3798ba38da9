"""Make the table of projects hold what is declared; what is declared no more is reported, and stays."""

from dataclasses import dataclass, field

from sqlalchemy import Connection

from rag_assets.db.schema.text_search import check_language
from rag_assets.errors import UsageError
from rag_assets.projects.declarations import Declarations
from rag_assets.projects.store import find_project, get_projects, save_project


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """Names: what was made, what was changed to what its declaration says, and what no declaration has any more."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


def reconcile_projects(connection: Connection, declarations: Declarations | None) -> ReconcileResult:
    """The declaration decides over source, settings and description of what it names; other projects are left alone.

    Documents that an application has forgotten stay forgotten.
    """
    found = ReconcileResult()
    declared = {} if declarations is None else {one.name: one for one in declarations.projects}
    for name, wanted in declared.items():
        assert declarations is not None
        known = find_project(connection, name)
        settings = dict(wanted.settings)
        if settings.get("language"):
            check_language(connection, settings["language"])
        if known and known.settings.get("forgotten"):
            settings["forgotten"] = known.settings["forgotten"]
        now = known and (known.source_uri, known.settings, known.declared_in, known.removed_at)
        if known and wanted.description is not None and known.description != wanted.description:
            now = None
        if now == (wanted.source, settings, declarations.origin, None):
            continue
        save_project(
            connection,
            name,
            wanted.source,
            settings,
            description=wanted.description,
            declared_in=declarations.origin,
        )
        (found.changed if known else found.added).append(name)
    found.gone.extend(
        project.name
        for project in get_projects(connection)
        if project.declared_in and project.name not in declared and project.removed_at is None
    )
    return found


def check_not_declared(declarations: Declarations | None, name: str) -> None:
    """Raises UsageError where the project is declared: what is changed by hand would be changed back."""
    if declarations is not None and any(one.name == name for one in declarations.projects):
        raise UsageError(f"project {name} is declared in {declarations.origin}; change it there.")
