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
    from rag_assets.documents.sources import GivenSource, canonical_uri, open_source
    from rag_assets.projects.reconcile import check_not_declared
    from rag_assets.projects.settings import assign_settings
    from rag_assets.projects.store import check_project_name, find_project, save_project
    from rag_assets.search.evaluation.thresholds import read_queries_at
    from rag_assets.settings.settings import load_settings

    engine, declarations, _ = enter()
    check_not_declared(declarations, check_project_name(name))
    given = GivenSource.parse(source)
    uri = given.uri
    with engine.begin() as connection:
        known = find_project(connection, name)
        settings = assign_settings(name, known.settings if known else {}, assignments or [])
        if "questions" in settings:
            settings["questions"] = canonical_uri(settings["questions"])
            read_queries_at(settings["questions"])
        if "language" in settings:
            check_language(connection, settings["language"])
        globs = {key: settings.get(key, ()) for key in ("include", "exclude")}
        open_source(uri, **globs, project=name, password=given.password).close()
        given.keep_password(load_settings().state_dir)
        _check_tokens(name, settings)
        save_project(connection, name, uri, settings, description=description)
    _sync_partitions(engine)
    typer.echo(f"{'changed' if known else 'added'} {name}: rag-assets ingest --project {name} reads it now")


@app.command("list")
def list_projects(as_json: JsonOption = False) -> None:
    """List all projects: state, source, settings, failures, and when they were last read."""
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.status import print_projects
    from rag_assets.projects.failures import list_failures
    from rag_assets.projects.store import get_projects

    engine, _, reconciled = enter()
    _sync_partitions(engine)
    with engine.connect() as connection:
        failed = list_failures(connection)
        found = [
            _to_json(
                project,
                reconciled.undeclared,
                {f.stage: f"{f.shard}: {f.error}".removeprefix(": ") for f in failed if f.project == project.name},
            )
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
    from rag_assets.documents.shards import shard_keys
    from rag_assets.orchestration.partitions import carry_materializations, projects
    from rag_assets.pipeline.project_changes import rename_project
    from rag_assets.projects.settings import parse_project_settings
    from rag_assets.projects.store import check_project_name, get_project
    from rag_assets.settings.settings import load_settings

    engine, declarations, _ = enter()
    check_project_name(new_name)
    if declarations is not None and any(one.name == name for one in declarations.projects):
        raise UsageError(
            f"project {name} is declared in {declarations.origin}; change its name there, "
            f"then run rag-assets projects rename {name} {new_name}."
        )
    rename_project(engine, load_settings(), name, new_name)
    _sync_partitions(engine)
    graph = defs.resolve_asset_graph()
    keys = [key for key in graph.materializable_asset_keys if graph.get(key).partitions_def == projects]
    with engine.connect() as connection:
        shards = parse_project_settings(new_name, get_project(connection, new_name).settings).shards
    for old, new in zip(shard_keys(name, shards), shard_keys(new_name, shards), strict=True):
        carry_materializations(installation.instance(), keys, old, new)
    typer.echo(f"renamed {name} to {new_name}")


@app.command()
def remove(
    name: NameArgument,
    purge: Annotated[bool, typer.Option("--purge", help="Also delete its documents, chunks and vectors.")] = False,
) -> None:
    """Remove a project from all runs. Its documents stay and are found, unless they are purged."""
    from rag_assets.documents.sources.rows.given import forget_unused_password
    from rag_assets.pipeline.project_changes import purge_project
    from rag_assets.projects.reconcile import check_not_declared
    from rag_assets.projects.store import get_project, get_projects, retire_project
    from rag_assets.settings.settings import load_settings

    engine, declarations, _ = enter()
    check_not_declared(declarations, name)
    if purge:
        with engine.connect() as connection:
            uri = get_project(connection, name).source_uri
        counts, vectors = purge_project(engine, load_settings(), name)
        with engine.connect() as connection:
            others = [project.source_uri for project in get_projects(connection)]
        forget_unused_password(uri, others, load_settings().state_dir)
        message = f"purged {name}: {counts.documents:,} documents, {counts.chunks:,} chunks, {vectors:,} vectors"
    else:
        with engine.begin() as connection:
            retire_project(connection, name)
        message = f"removed {name}: its documents are still found, until rag-assets projects remove {name} --purge"
    _sync_partitions(engine)
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


def _sync_partitions(engine: "Engine") -> None:
    from rag_assets.cli.runtime.project_ranges import sync_partitions

    sync_partitions(engine)


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
