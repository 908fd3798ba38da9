"""rag-assets projects: sources with their settings."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import JsonOption, SourceArgument
from rag_assets.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.db.models import Project
    from rag_assets.projects.declarations import Declarations
    from rag_assets.projects.reconcile import ReconcileResult

app = typer.Typer(
    help="Manage projects: sources with their settings. Each is a partition in Dagster.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(help="Name of the project: 1 to 63 of a-z, 0-9, - and _.")]


@app.command()
def add(
    name: NameArgument,
    source: SourceArgument,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting, like include=*.md or schedule='0 6 * * *'; `key=` removes it. Repeatable."
        ),
    ] = None,
    description: Annotated[str | None, typer.Option(help="Description for people.")] = None,
) -> None:
    """Add a project, or change the one with this name. Its documents are read by the next run."""
    from rag_assets.db.schema.text_search import check_language
    from rag_assets.documents.sources import canonical_uri, open_source
    from rag_assets.projects.reconcile import check_not_declared
    from rag_assets.projects.settings import assign_settings
    from rag_assets.projects.store import check_project_name, find_project, save_project
    from rag_assets.search.evaluation.thresholds import read_queries_at

    engine, declarations, _ = enter()
    check_not_declared(declarations, check_project_name(name))
    uri = canonical_uri(source)
    with engine.begin() as connection:
        known = find_project(connection, name)
        settings = assign_settings(name, known.settings if known else {}, assignments or [])
        if "questions" in settings:
            settings["questions"] = canonical_uri(settings["questions"])
            read_queries_at(settings["questions"])
        if "language" in settings:
            check_language(connection, settings["language"])
        open_source(uri, include=settings.get("include", ()), exclude=settings.get("exclude", ())).close()
        _check_tokens(name, settings)
        save_project(connection, name, uri, settings, description=description)
    sync_partitions(engine)
    typer.echo(f"{'changed' if known else 'added'} {name}: rag-assets ingest --project {name} reads it now")


@app.command("list")
def list_projects(as_json: JsonOption = False) -> None:
    """List all projects: state, source, settings, failures, and when they were last read."""
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.status import print_projects
    from rag_assets.projects.failures import list_failures
    from rag_assets.projects.store import get_projects

    engine, _, reconciled = enter()
    sync_partitions(engine)
    with engine.connect() as connection:
        failed = list_failures(connection)
        found = [
            _to_json(project, reconciled.undeclared, {f.stage: f.error for f in failed if f.project == project.name})
            for project in get_projects(connection)
        ]
    if as_json:
        print_json({"projects": found})
    else:
        print_projects(found)


@app.command()
def rename(
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(help="Its new name: 1 to 63 of a-z, 0-9, - and _.")],
) -> None:
    """Give a project another name. Nothing is read or embedded again, and its documents keep their ids."""
    from rag_assets.cli.runtime import installation
    from rag_assets.definitions import defs
    from rag_assets.orchestration.partitions import carry_materializations, projects
    from rag_assets.pipeline.project_changes import rename_project
    from rag_assets.projects.store import check_project_name
    from rag_assets.settings.settings import load_settings

    engine, declarations, _ = enter()
    check_project_name(new_name)
    if declarations is not None and any(one.name == name for one in declarations.projects):
        raise UsageError(
            f"project {name} is declared in {declarations.origin}; change its name there, "
            f"then run rag-assets projects rename {name} {new_name}."
        )
    rename_project(engine, load_settings(), name, new_name)
    sync_partitions(engine)
    graph = defs.resolve_asset_graph()
    keys = [key for key in graph.materializable_asset_keys if graph.get(key).partitions_def == projects]
    carry_materializations(installation.instance(), keys, name, new_name)
    typer.echo(f"renamed {name} to {new_name}")


@app.command()
def remove(
    name: NameArgument,
    purge: Annotated[bool, typer.Option("--purge", help="Also delete its documents, chunks and vectors.")] = False,
) -> None:
    """Remove a project from all runs. Its documents stay and are found, unless they are purged."""
    from rag_assets.pipeline.project_changes import purge_project
    from rag_assets.projects.reconcile import check_not_declared
    from rag_assets.projects.store import retire_project
    from rag_assets.settings.settings import load_settings

    engine, declarations, _ = enter()
    check_not_declared(declarations, name)
    if purge:
        counts, vectors = purge_project(engine, load_settings(), name)
        message = f"purged {name}: {counts.documents:,} documents, {counts.chunks:,} chunks, {vectors:,} vectors"
    else:
        with engine.begin() as connection:
            retire_project(connection, name)
        message = f"removed {name}: its documents are still found, until rag-assets projects remove {name} --purge"
    sync_partitions(engine)
    typer.echo(message)


def enter() -> "tuple[Engine, Declarations | None, ReconcileResult]":
    """Enter the installation and bring its projects to what is declared."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.projects.declarations import read_declarations
    from rag_assets.projects.reconcile import reconcile_projects

    settings = installation.enter()
    declarations = read_declarations(settings)
    engine = writable_engine(settings)
    with engine.begin() as connection:
        reconciled = reconcile_projects(connection, declarations)
    for name in reconciled.undeclared:
        typer.echo(
            f"rag-assets: project {name} is no longer declared; it stays until "
            f"rag-assets projects remove {name} [--purge]",
            err=True,
        )
    return engine, declarations, reconciled


def sync_partitions(engine: "Engine") -> None:
    from rag_assets.cli.runtime import installation
    from rag_assets.orchestration.partitions import partition_changes, projects
    from rag_assets.projects.store import partition_names

    with engine.connect() as connection:
        wanted = partition_names(connection)
    instance = installation.instance()
    added, removed = partition_changes(instance, wanted)
    if added:
        instance.add_dynamic_partitions(str(projects.name), added)
    for key in removed:
        instance.delete_dynamic_partition(str(projects.name), key)


def _check_tokens(name: str, settings: dict[str, Any]) -> None:
    """Check the project's tokens against the model's window. Without such settings, no tokenizer is loaded."""
    if not settings.keys() & {"chunk_tokens", "overlap_tokens"}:
        return
    from rag_assets.pipeline.target.chunking import project_splitter
    from rag_assets.pipeline.target.wanted_space import target_space
    from rag_assets.projects.settings import parse_project_settings
    from rag_assets.settings.settings import load_settings

    target = target_space(load_settings())
    project_splitter(target.definition, target.model, name, parse_project_settings(name, settings))


def _to_json(project: "Project", undeclared: list[str], failed: dict[str, str]) -> dict[str, Any]:
    state = "removed" if project.removed_at else "declared no more" if project.name in undeclared else "active"
    return {
        "name": project.name,
        "source": project.source_uri,
        "description": project.description,
        "settings": project.settings,
        "declared_in": project.declared_in,
        "state": state,
        "refreshed_at": project.refreshed_at,
        "failed": failed,
    }
