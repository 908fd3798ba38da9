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
from rag_assets.errors import RagAssetsError
from rag_assets.pipeline.stages.batches import FailedProject
from rag_assets.projects.failures import list_failures
from rag_assets.projects.settings import ProjectSettings, parse_project_settings
from rag_assets.projects.store import get_project

B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class LoadedProject:
    """A project as a stage needs it, with its settings checked."""

    name: str
    id: UUID
    source_uri: str
    settings: ProjectSettings


def load_project(engine: Engine, name: str) -> LoadedProject:
    with autocommit_connection(engine) as connection:
        project = get_project(connection, name)
    return LoadedProject(name, project.id, project.source_uri, parse_project_settings(name, project.settings))


@dataclass(slots=True)
class IsolatedProjects:
    """The projects of one stage in one run; without `run_id`, failures of earlier stages are not known."""

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
            if failure.project in self.names and failure.project not in self._failed:
                reason = f"{failure.stage} failed for it in the same run: {failure.error}"
                yield self._exclude(failure.project, RagAssetsError(reason))

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
