"""One stage over several projects: an error in one project does not stop the others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from rag_assets.db.connections.retry import is_lost
from rag_assets.db.database import autocommit_connection
from rag_assets.documents.shards import WHOLE, Shard, partition_key, split_key
from rag_assets.errors import RagAssetsError, UsageError
from rag_assets.pipeline.stages.batches import FailedProject
from rag_assets.projects.failures import list_failures
from rag_assets.projects.settings import ProjectSettings, parse_project_settings
from rag_assets.projects.store import get_project

B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class LoadedProject:
    """A project, or a shard of it, as a stage needs it, with its settings checked."""

    name: str
    id: UUID
    source_uri: str
    settings: ProjectSettings
    shard: Shard = WHOLE

    @property
    def key(self) -> str:
        """Its partition key."""
        return partition_key(self.name, self.shard)


def load_project(engine: Engine, key: str) -> LoadedProject:
    """The project or shard of a partition key; raises UsageError for a shard that the project has no longer."""
    name, shard = split_key(key)
    with autocommit_connection(engine) as connection:
        project = get_project(connection, name)
    settings = parse_project_settings(name, project.settings)
    if shard is None:
        shard = Shard(1, settings.shards)
    elif shard.of != settings.shards or not 1 <= shard.number <= shard.of:
        raise UsageError(
            f"{key} is no shard of project {name}, which has {settings.shards} of them; "
            f"run its present ones: rag-assets ingest --project {name}."
        )
    return LoadedProject(name, project.id, project.source_uri, settings, shard)


@dataclass(slots=True)
class IsolatedProjects:
    """The partition keys of one stage in one run; without `run_id`, failures of earlier stages are not known."""

    engine: Engine
    names: Sequence[str]
    run_id: str | None = None
    _failed: set[str] = field(default_factory=set)

    def exclude_failed_upstream(self) -> Iterator[FailedProject]:
        """Exclude the projects for which an earlier stage of this run failed: they have nothing new to process."""
        if self.run_id is None or len(self.names) < 2:
            return
        with self.engine.connect() as connection:
            found = list_failures(connection, run_id=self.run_id)
        for failure in found:
            if failure.key in self.names and failure.key not in self._failed:
                reason = f"{failure.stage} failed for it in the same run: {failure.error}"
                yield self._exclude(failure.key, RagAssetsError(reason))

    def run_each(self, stage: Callable[[LoadedProject], Iterator[B]]) -> Iterator[B | FailedProject]:
        """Run the stage for one project after the other. An error excludes its project from here on."""
        for name in self.names:
            if name in self._failed:
                continue
            try:
                yield from stage(load_project(self.engine, name))
            except Exception as error:
                # A lost database is lost for all of them.
                if isinstance(error, DBAPIError | psycopg.Error) and is_lost(error):
                    raise
                yield self._exclude(name, error)

    def _exclude(self, name: str, error: Exception) -> FailedProject:
        self._failed.add(name)
        return FailedProject(name, error)
