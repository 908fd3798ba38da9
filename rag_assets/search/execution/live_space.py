"""Which space searches use: looked up once, then believed until a statement finds that another one serves."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from rag_assets.db.connections.execute import StatementRunner
from rag_assets.db.models import EmbeddingSpace, Project
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.errors import ServiceError
from rag_assets.projects.store import get_project
from rag_assets.search.execution.read_session import Reader
from rag_assets.search.vector.statements import is_live

T = TypeVar("T")

# A space can be replaced while a search is on its way; more often than this during one search it is not.
MOST_FLIPS = 5
_UNDEFINED_TABLE = "42P01"


class Live:
    """The live space and its projects, as this process knows them; or a `space` to try before it is live."""

    def __init__(self, reader: Reader, kind: str = "chunks", space: EmbeddingSpace | None = None) -> None:
        self._reader = reader
        self._kind = kind
        self._tried = space
        self._known: EmbeddingSpace | None = None
        self._projects: set[str] = set()

    def run(self, work: Callable[[EmbeddingSpace], T]) -> T:
        """The result of work in the live space, done again in the next one where that took its place meanwhile.

        Raises ServiceError while no space is live.
        """
        lost: int | None = None
        for _ in range(MOST_FLIPS):
            space = self._known = self._known or self._reader.read(self._look)
            try:
                return work(space)
            except _Flipped:
                self._known = None
            except DBAPIError as error:
                # The table of vectors goes with its space.
                if getattr(error.orig, "sqlstate", None) != _UNDEFINED_TABLE:
                    raise
                if space.id == lost:
                    raise ServiceError(
                        f"a table that searches need is gone: {str(error.orig).splitlines()[0]}; "
                        "run rag-assets ingest to build it again."
                    ) from error
                self._known, lost = None, space.id
        raise ServiceError("the live space was replaced again and again during this search; ask again.")

    def confirm(self, connection: StatementRunner, space: EmbeddingSpace) -> None:
        """To be asked when nothing was found: nothing is what statements for a space that serves no more give."""
        if not connection.scalar(select(is_live(space))):
            raise _Flipped

    def knows(self, names: Sequence[str]) -> bool:
        return self._projects.issuperset(names)

    def check_projects(self, connection: Connection, names: Sequence[str], *, anew: bool = False) -> None:
        """Raises UsageError for a project that there is not; `anew`: one that there was may be gone."""
        if names and (anew or not self.knows(names)):
            self._projects = set(connection.scalars(select(Project.name)))
            for name in names:
                if name not in self._projects:
                    get_project(connection, name)

    def _look(self, connection: Connection) -> EmbeddingSpace:
        if self._tried is not None:
            return self._tried
        try:
            space = get_live_space(connection, self._kind)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _UNDEFINED_TABLE:
                raise
            space = None
        if space is None:
            command = "ingest" if self._kind == "chunks" else f"embed {self._kind}"
            raise ServiceError(f"nothing can be searched yet: no space is live; run rag-assets {command} first.")
        return space


class _Flipped(Exception):  # noqa: N818 - no error: the search starts again
    """Another space has become the live one."""
