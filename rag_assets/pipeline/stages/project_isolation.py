"""Projects kept apart in one run: what fails for one of them does not stop the others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from rag_assets.db.connections.retry import is_lost
from rag_assets.db.writes.rows import WriteCounts
from rag_assets.errors import RagAssetsError
from rag_assets.projects.failures import list_failures

B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Failed:
    """In the place of a batch: the stage failed for the project `key`, and gives no more of it.

    Whoever writes it like any other batch gets the error.
    """

    key: str
    error: Exception

    @property
    def figures(self) -> Mapping[str, float]:
        return {}

    def write(self, _connection: Connection, _run_id: str | None = None, /) -> WriteCounts:
        raise self.error


@dataclass(slots=True)
class Apart:
    """Some projects on their way through one stage; without a run, nothing is known of the stages before."""

    engine: Engine
    names: Sequence[str]
    run_id: str | None = None
    _failed: set[str] = field(default_factory=set)

    def left_behind(self) -> Iterator[Failed]:
        """The projects for which an earlier stage of this run failed: what comes after it has nothing new to do."""
        if self.run_id is None or len(self.names) < 2:
            return
        with self.engine.connect() as connection:
            found = list_failures(connection, run_id=self.run_id)
        for failure in found:
            if failure.project in self.names and failure.project not in self._failed:
                yield self._fail(
                    failure.project, RagAssetsError(f"{failure.stage} failed for it in the same run: {failure.error}")
                )

    def each(self, make: Callable[[str], Iterator[B]]) -> Iterator[B | Failed]:
        """The batches of one project after the other, but for those that failed; where making one raises, so it is."""
        for name in self.names:
            if name in self._failed:
                continue
            try:
                yield from make(name)
            except Exception as error:
                # A database that is away is away for all of them.
                if isinstance(error, DBAPIError) and is_lost(error):
                    raise
                yield self._fail(name, error)

    def _fail(self, name: str, error: Exception) -> Failed:
        self._failed.add(name)
        return Failed(name, error)
