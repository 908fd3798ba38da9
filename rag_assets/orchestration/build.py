"""Build all definitions of one pipeline for a code location: the table of contents."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_shared.libraries import DagsterLibraryRegistry

from rag_assets.errors import UsageError, unknown_name_message
from rag_assets.orchestration.assets.attributes import add_attributes, translated_keys
from rag_assets.orchestration.assets.chunks import chunks_asset
from rag_assets.orchestration.assets.corpus_map import corpus_map_asset
from rag_assets.orchestration.assets.documents import raw_documents_asset
from rag_assets.orchestration.assets.embeddings import embeddings_asset
from rag_assets.orchestration.assets.index import hnsw_index_asset, live_space_asset
from rag_assets.orchestration.assets.memories import (
    live_memories_asset,
    memory_embeddings_asset,
    memory_index_asset,
)
from rag_assets.orchestration.assets.messages import (
    live_messages_asset,
    message_embeddings_asset,
    message_index_asset,
)
from rag_assets.orchestration.assets.registered_tables import table_assets
from rag_assets.orchestration.assets.sources import Translate, sources_assets
from rag_assets.orchestration.automation.failure_notices import failed_runs_sensor
from rag_assets.orchestration.automation.finished_batches import finished_batches_sensor
from rag_assets.orchestration.automation.jobs import build_jobs
from rag_assets.orchestration.automation.project_refresh import (
    changed_sources_sensor,
    changed_upstreams_sensor,
    nightly_refresh_schedule,
    own_schedules_sensor,
    project_partitions_sensor,
)
from rag_assets.orchestration.automation.schedules import (
    nightly_memories_schedule,
    nightly_table_schedule,
    trailing_messages_schedule,
    weekly_maintenance_schedule,
    yesterdays_messages_schedule,
)
from rag_assets.orchestration.automation.upstream_sensor import follow_upstreams_sensor
from rag_assets.orchestration.checks.documents import document_checks
from rag_assets.orchestration.checks.projects import project_checks
from rag_assets.orchestration.checks.spaces import (
    CHUNKS,
    MEMORIES,
    MESSAGES,
    checks_of_table,
    embeddings_checks,
    index_checks,
    live_space_checks,
)
from rag_assets.orchestration.io.manager import table_io_manager
from rag_assets.orchestration.resources.embedder import Embedder
from rag_assets.orchestration.resources.postgres import Postgres
from rag_assets.orchestration.resources.upstream_assets import asset_key, parse_upstream
from rag_assets.orchestration.scope import Execute, PipelineScope
from rag_assets.settings.settings import Settings, resolve_settings

if TYPE_CHECKING:
    from rag_assets.projects.declarations import Declarations

# Dagster shows the versions of the libraries that a code location has loaded.
DagsterLibraryRegistry.register("rag_assets", version("rag_assets"), is_dagster_package=False)


def build_definitions(
    *,
    key_prefix: str | Sequence[str] | None = None,
    group_name: str | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    upstream: Mapping[str, Any] | None = None,
    projects: Mapping[str, Mapping[str, Any]] | None = None,
    projects_folder: Path | None = None,
    deps: Sequence[Any] = (),
    observe_sources: bool = False,
    translate: Translate | None = None,
    execute: Execute | None = None,
) -> dg.Definitions:
    """All assets, checks, jobs, schedules, sensors and resources of one pipeline, to merge into a code location.

    `key_prefix` is put before the keys of the assets and, joined by "_", before all other names (`rag_ingest`,
    `rag_postgres`), so that pipelines with different prefixes can share a code location. All assets are in the group
    `group_name`; without it, in a group named after the prefix. `settings` are those of this pipeline; what a mapping
    does not name is taken from the environment. Without `settings`, those of the environment are read when they are
    used. Each pipeline needs its own database or state folder. `resources` replace ours, by the names `postgres`,
    `embedder` and `tables`.

    `upstream` names projects whose documents are the rows of an asset of yours: `{"items": "shop/items"}`, or
    `{"items": {"asset": "shop/items", "partition": "de"}}` for one of its partitions; the project is created. Rows have
    `id` and `text`, all other columns are metadata: a DataFrame of pandas or polars, a Table of pyarrow, or an iterator
    of mappings.

    `projects` declares projects like the file projects.yaml does, by name, with `source`, `description` and `settings`;
    folders are relative to `projects_folder` (unset: the working directory). `deps` are assets of yours that the
    documents depend on. `observe_sources` adds the sources of all projects as an observable asset, `sources`.

    `translate` is called with the plain name of each asset, like `chunks`, and its spec, and returns the spec with
    another key, group, other tags, owners, metadata or another automation condition; `execute` is called with the
    context of an asset and a function that materializes it, whose result it returns.

    Raises UsageError for an invalid prefix, group, setting, resource, project or upstream.
    """
    scope = PipelineScope(
        _prefix_parts(key_prefix),
        group_name,
        None if settings is None else resolve_settings(settings),
        tuple(parse_upstream(upstream).items()),
        _declare(projects, projects_folder),
        tuple(asset_key("deps", dep) for dep in deps),
        observe_sources,
        execute=execute,
    )
    if translate is not None:
        scope = replace(scope, translated_keys=translated_keys(scope, _assets(scope), translate))
    jobs, kinds = build_jobs(scope), scope.registered_kinds
    return dg.Definitions(
        assets=[*sources_assets(scope, translate), *add_attributes(scope, _assets(scope), translate)],
        asset_checks=[
            document_checks(scope),
            project_checks(scope),
            embeddings_checks(scope, CHUNKS),
            index_checks(scope, CHUNKS),
            live_space_checks(scope),
            embeddings_checks(scope, MESSAGES),
            index_checks(scope, MESSAGES),
            embeddings_checks(scope, MEMORIES),
            index_checks(scope, MEMORIES),
            *(embeddings_checks(scope, checks_of_table(kind)) for kind in kinds),
            *(index_checks(scope, checks_of_table(kind)) for kind in kinds),
        ],
        jobs=[
            jobs.ingest,
            jobs.embed_messages,
            jobs.embed_memories,
            *jobs.embed_tables.values(),
            jobs.checks,
            jobs.maintenance,
        ],
        schedules=[
            nightly_refresh_schedule(scope, jobs),
            yesterdays_messages_schedule(scope, jobs),
            trailing_messages_schedule(scope, jobs),
            nightly_memories_schedule(scope, jobs),
            *(nightly_table_schedule(scope, jobs, kind) for kind in kinds),
            weekly_maintenance_schedule(scope, jobs),
        ],
        sensors=[
            project_partitions_sensor(scope),
            changed_sources_sensor(scope, jobs),
            *([changed_upstreams_sensor(scope, jobs)] if scope.upstream else []),
            own_schedules_sensor(scope, jobs),
            finished_batches_sensor(scope, jobs),
            follow_upstreams_sensor(scope),
            failed_runs_sensor(scope),
        ],
        resources=_resources(scope, resources or {}),
    )


def _assets(scope: PipelineScope) -> list[dg.AssetsDefinition]:
    return [
        raw_documents_asset(scope),
        chunks_asset(scope),
        embeddings_asset(scope),
        hnsw_index_asset(scope),
        live_space_asset(scope),
        message_embeddings_asset(scope),
        message_index_asset(scope),
        live_messages_asset(scope),
        memory_embeddings_asset(scope),
        memory_index_asset(scope),
        live_memories_asset(scope),
        corpus_map_asset(scope),
        *(asset for kind in scope.registered_kinds for asset in table_assets(scope, kind)),
    ]


def _declare(projects: Mapping[str, Mapping[str, Any]] | None, folder: Path | None) -> "Declarations | None":
    if not projects:
        # Without loading the database's libraries, which a code location does not need.
        return None
    from rag_assets.projects.declarations import declare_projects

    return declare_projects("projects", (folder or Path()).resolve(), projects)


def _prefix_parts(key_prefix: str | Sequence[str] | None) -> tuple[str, ...]:
    if key_prefix is None:
        return ()
    # What is neither a name nor a list becomes one part, which PipelineScope refuses with its message.
    return (key_prefix,) if isinstance(key_prefix, str) or not isinstance(key_prefix, Sequence) else tuple(key_prefix)


def _resources(scope: PipelineScope, replacements: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {"postgres": Postgres(), "embedder": Embedder(), "tables": table_io_manager(scope)}
    kinds: dict[str, tuple[type, ...]] = {
        "postgres": (Postgres,),
        "embedder": (Embedder,),
        "tables": (dg.IOManager, dg.ConfigurableIOManagerFactory),
    }
    if not isinstance(replacements, Mapping):
        raise UsageError(f"resources is a {type(replacements).__name__}; make it a mapping with {', '.join(defaults)}.")
    for name, resource in replacements.items():
        if name not in defaults:
            raise UsageError(unknown_name_message(str(name), list(defaults), "resource"))
        kind = kinds[name]
        if not isinstance(resource, (*kind, dg.ResourceDefinition)):
            raise UsageError(
                f"resources: {name} is a {type(resource).__name__}; give an instance of {kind[0].__name__}, or of a "
                f"subclass of it ({kind[0].__module__})."
            )
    return {scope.name(name): resource for name, resource in {**defaults, **replacements}.items()}
