"""Which space searches use: looked up once, then cached until a statement finds that another space is live."""

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar, TypeVarTuple

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from rag_assets.db.connections.execute import StatementRunner
from rag_assets.db.models import EmbeddingSpace, Project
from rag_assets.db.session.server_errors import explain_error, explained_errors
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.errors import ServiceError
from rag_assets.projects.store import get_project
from rag_assets.search.execution.read_session import ReadSession
from rag_assets.search.vector.statements import is_live

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# A search starts again when its space is replaced meanwhile, but no more often than this.
MAX_ATTEMPTS = 5
_UNDEFINED_TABLE = "42P01"


class LiveSpaceCache:
    """The live space of one kind, and the names of the projects; or a given `space`, to try it before it is live."""

    def __init__(self, session: ReadSession, kind: str = "chunks", space: EmbeddingSpace | None = None) -> None:
        self._session = session
        self._kind = kind
        self._given = space
        self._space: EmbeddingSpace | None = None
        self._projects: set[str] = set()

    def run(self, work: Callable[Concatenate[EmbeddingSpace, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work(space, ...)`, done again in the next space where that replaced it meanwhile.

        Raises ServiceError while no space is live.
        """
        lost: int | None = None
        for _ in range(MAX_ATTEMPTS):
            with explained_errors():
                space = self._space = self._space or self._session.read(self._look_up, as_owner=True)
            try:
                return work(space, *args, **kwargs)
            except _SpaceReplaced:
                self._space = None
            except DBAPIError as error:
                # A space that is dropped takes its table of vectors along.
                if getattr(error.orig, "sqlstate", None) != _UNDEFINED_TABLE:
                    raise explain_error(error) or error from error
                if space.id == lost:
                    raise ServiceError(
                        f"a table that searches need is gone: {str(error.orig).splitlines()[0]}; "
                        "run rag-assets ingest to build it again."
                    ) from error
                self._space, lost = None, space.id
        raise ServiceError("the live space was replaced again and again during this search; search again.")

    def read(
        self,
        space: EmbeddingSpace,
        work: Callable[[Connection, EmbeddingSpace, *Ts], T],
        *args: *Ts,
        timeout_s: float | None = None,
    ) -> T:
        """The result of `work(connection, space, *args)` in a transaction in which the space is live."""
        return self._session.read(self._confirm_and_run, space, work, args, timeout_s=timeout_s, transaction=True)

    def confirm(self, connection: StatementRunner, space: EmbeddingSpace) -> None:
        """Makes `run` start again unless the space is still live.

        Needed where a statement found nothing: that is also what it finds when its space is no longer live.
        """
        if not connection.scalar(select(is_live(space))):
            raise _SpaceReplaced

    def has_projects(self, names: Sequence[str]) -> bool:
        """Whether all of them were there when the projects were last read."""
        return self._session.viewer is None and self._projects.issuperset(names)

    def check_projects(self, connection: Connection, names: Sequence[str]) -> None:
        """Read the projects again; raises UsageError for an unknown one."""
        found = set(connection.scalars(select(Project.name)))
        if self._session.viewer is None:
            self._projects = found
        for name in names:
            if name not in found:
                get_project(connection, name)

    def _confirm_and_run(
        self, connection: Connection, space: EmbeddingSpace, work: Callable[..., T], args: tuple[object, ...]
    ) -> T:
        self.confirm(connection, space)
        return work(connection, space, *args)

    def _look_up(self, connection: Connection) -> EmbeddingSpace:
        if self._given is not None:
            return self._given
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


class _SpaceReplaced(Exception):  # noqa: N818 - not an error: the search starts again
    """Another space has become the live one."""
