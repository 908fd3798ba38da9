"""All that makes one pipeline, as definitions for a code location: the table of contents."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from rag_assets.errors import UsageError, unknown_name_message
from rag_assets.orchestration.assets.attributes import described
from rag_assets.orchestration.assets.chunks import chunks
from rag_assets.orchestration.assets.corpus_map import corpus_map
from rag_assets.orchestration.assets.documents import raw_documents
from rag_assets.orchestration.assets.embeddings import embeddings
from rag_assets.orchestration.assets.index import hnsw_index, live_space
from rag_assets.orchestration.assets.memories import live_memories, memory_embeddings, memory_index
from rag_assets.orchestration.assets.messages import live_messages, message_embeddings, message_index
from rag_assets.orchestration.assets.registered_tables import table_assets
from rag_assets.orchestration.automation.failure_notices import failed_runs
from rag_assets.orchestration.automation.jobs import jobs_of
from rag_assets.orchestration.automation.project_refresh import (
    changed_sources,
    nightly_refresh,
    own_schedules,
    project_partitions,
)
from rag_assets.orchestration.automation.schedules import (
    nightly_memories,
    nightly_table,
    trailing_messages,
    weekly_maintenance,
    yesterdays_messages,
)
from rag_assets.orchestration.automation.upstream_sensor import follow_upstreams
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
from rag_assets.orchestration.io.manager import tables
from rag_assets.orchestration.resources.embedder import Embedder
from rag_assets.orchestration.resources.postgres import Postgres
from rag_assets.orchestration.scope import Pipeline
from rag_assets.settings.settings import Settings, resolve_settings


def build_definitions(
    *,
    key_prefix: str | Sequence[str] | None = None,
    group_name: str | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """All assets, checks, jobs, schedules, sensors and resources of one pipeline, to merge into a code location.

    `key_prefix` goes before the keys of the assets and, joined by "_", before all other names (`rag_ingest`,
    `rag_postgres`), so that pipelines with different prefixes stand side by side. All assets are in the group
    `group_name`, which is the prefix unless given. `settings` are those of this pipeline (of a mapping, what it does
    not name is as in the environment); without them, those of the environment, read when they are used. Pipelines
    beside each other need a database or a state folder each. `resources` take the place of ours, by the names
    `postgres`, `embedder` and `tables`.

    Raises UsageError for a prefix, a group, a setting or a resource that cannot be.
    """
    pipeline = Pipeline(_parts(key_prefix), group_name, None if settings is None else resolve_settings(settings))
    jobs, kinds = jobs_of(pipeline), pipeline.registered_kinds
    return dg.Definitions(
        assets=described(
            pipeline,
            [
                raw_documents(pipeline),
                chunks(pipeline),
                embeddings(pipeline),
                hnsw_index(pipeline),
                live_space(pipeline),
                message_embeddings(pipeline),
                message_index(pipeline),
                live_messages(pipeline),
                memory_embeddings(pipeline),
                memory_index(pipeline),
                live_memories(pipeline),
                corpus_map(pipeline),
                *(asset for kind in kinds for asset in table_assets(pipeline, kind)),
            ],
        ),
        asset_checks=[
            document_checks(pipeline),
            project_checks(pipeline),
            embeddings_checks(pipeline, CHUNKS),
            index_checks(pipeline, CHUNKS),
            live_space_checks(pipeline),
            *(embeddings_checks(pipeline, MESSAGES), index_checks(pipeline, MESSAGES)),
            *(embeddings_checks(pipeline, MEMORIES), index_checks(pipeline, MEMORIES)),
            *(embeddings_checks(pipeline, checks_of_table(kind)) for kind in kinds),
            *(index_checks(pipeline, checks_of_table(kind)) for kind in kinds),
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
            nightly_refresh(pipeline, jobs),
            yesterdays_messages(pipeline, jobs),
            trailing_messages(pipeline, jobs),
            nightly_memories(pipeline, jobs),
            *(nightly_table(pipeline, jobs, kind) for kind in kinds),
            weekly_maintenance(pipeline, jobs),
        ],
        sensors=[
            project_partitions(pipeline),
            changed_sources(pipeline, jobs),
            own_schedules(pipeline, jobs),
            follow_upstreams(pipeline),
            failed_runs(pipeline),
        ],
        resources=_resources(pipeline, resources or {}),
    )


def _parts(key_prefix: str | Sequence[str] | None) -> tuple[str, ...]:
    if key_prefix is None:
        return ()
    # Anything else than a list is one part, for Pipeline to refuse where it is no name.
    return (key_prefix,) if isinstance(key_prefix, str) or not isinstance(key_prefix, Sequence) else tuple(key_prefix)


def _resources(pipeline: Pipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    ours = {"postgres": Postgres(), "embedder": Embedder(), "tables": tables(pipeline)}
    kinds: dict[str, tuple[type, ...]] = {
        "postgres": (Postgres,),
        "embedder": (Embedder,),
        "tables": (dg.IOManager, dg.ConfigurableIOManagerFactory),
    }
    if not isinstance(given, Mapping):
        raise UsageError(f"resources is a {type(given).__name__}; make it a mapping with {', '.join(ours)}.")
    for name, resource in given.items():
        if name not in ours:
            raise UsageError(unknown_name_message(str(name), list(ours), "resource"))
        wanted = kinds[name]
        if not isinstance(resource, (*wanted, dg.ResourceDefinition)):
            raise UsageError(
                f"resources: {name} is a {type(resource).__name__}; give an instance of {wanted[0].__name__}, or of a "
                f"subclass of it ({wanted[0].__module__})."
            )
    return {pipeline.name(name): resource for name, resource in {**ours, **given}.items()}
