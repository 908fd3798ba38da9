"""sources: where the documents of the projects come from, observed and not materialized."""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import dagster as dg

from rag_assets.documents.shards import shard_keys
from rag_assets.orchestration.retries import fail_without_retries
from rag_assets.orchestration.scope import HasResources, PipelineScope

if TYPE_CHECKING:
    from rag_assets.db.models import Project
    from rag_assets.projects.settings import ProjectSettings

SOURCES = "sources"


class HasLog(HasResources, Protocol):
    """Any of Dagster's contexts of a run or a tick."""

    @property
    def log(self) -> Any: ...


# Given the plain name of an asset and its spec.
Translate: TypeAlias = Callable[[str, dg.AssetSpec], dg.AssetSpec]


def sources_assets(scope: PipelineScope, translate: Translate | None = None) -> "list[dg.SourceAsset]":
    """The asset, where the pipeline shows it. It cannot be mapped like the others, so it is translated here."""
    if not scope.observes_sources:
        return []
    spec = dg.AssetSpec(scope.plain_key(SOURCES), group_name=scope.group or "rag")
    spec = spec if translate is None else translate(SOURCES, spec)

    def sources(context: dg.OpExecutionContext) -> dg.DataVersionsByPartition:
        """The sources of the projects, each observed with a data version: a hash of what it lists.

        Observing lists, and reads nothing. A project whose source lists something else shows its documents as stale.
        """
        with fail_without_retries(), _without_beta_warnings():
            return dg.DataVersionsByPartition(source_versions(context, scope))

    with _without_beta_warnings():
        decorate = dg.observable_source_asset(
            key=scope.key(SOURCES),
            partitions_def=scope.projects,
            required_resource_keys={scope.postgres_key},
            group_name=spec.group_name,
            tags=spec.tags,
            metadata=spec.metadata,
            automation_condition=spec.automation_condition,
        )
        return [decorate(sources)]


@contextmanager
def _without_beta_warnings() -> Iterator[None]:
    """Observable assets are still marked as beta in Dagster 1.13."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield


def source_versions(context: dg.OpExecutionContext, scope: PipelineScope) -> dict[str, str]:
    """A fingerprint of each source's listing by partition; one that cannot be listed is logged and left out."""
    from rag_assets.documents.sources.rows.asset_rows import is_asset_address

    partitions = set(context.instance.get_dynamic_partitions(str(scope.projects.name)))
    found: dict[str, str] = {}
    for project, own in active_projects(context, scope):
        keys = partitions.intersection(shard_keys(project.name, own.shards))
        if not keys or is_asset_address(project.source_uri):
            continue
        try:
            version = listing_fingerprint(project.source_uri, own, scope.settings.state_dir, project.name)
        except Exception as error:
            context.log.warning(f"the source of project {project.name} cannot be listed: {error}")
            continue
        found |= dict.fromkeys(sorted(keys), version)
    return found


def listing_fingerprint(source_uri: str, own: "ProjectSettings", state_dir: Path, project: str | None = None) -> str:
    """Changes when a document of the source is added, removed or has another version; lists, and reads nothing."""
    from rag_assets.documents.sources import open_source

    digest = sha256()
    exclude = [*own.exclude, *own.forgotten]
    opened = open_source(source_uri, include=own.include, exclude=exclude, state_dir=state_dir, project=project)
    with closing(opened) as source:
        for file in source.list():
            digest.update(json.dumps([file.path, file.version, file.size_bytes]).encode())
    return digest.hexdigest()[:32]


def active_projects(context: HasLog, scope: PipelineScope) -> "Iterator[tuple[Project, ProjectSettings]]":
    """The projects that are refreshed, with their settings; those with invalid settings are logged and left out."""
    from rag_assets.errors import UsageError
    from rag_assets.projects.settings import parse_project_settings
    from rag_assets.projects.store import get_projects

    with scope.postgres(context).engine.connect() as connection:
        found = get_projects(connection)
    for project in found:
        if project.removed_at is not None:
            continue
        try:
            yield project, parse_project_settings(project.name, project.settings)
        except UsageError as error:
            context.log.warning(str(error))
