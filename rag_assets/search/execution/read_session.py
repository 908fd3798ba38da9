"""How a search reads: without a transaction where it can, limited in time, and again after a lost connection."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TypeVar, TypeVarTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from rag_assets.db.access.viewer import (
    ChangedRestrictionError,
    Viewer,
    ViewerDeclaration,
    current_viewer,
    declare_viewer,
)
from rag_assets.db.connections.execute import AutocommitRunner, StatementRunner
from rag_assets.db.connections.pooler import get_connection_setup
from rag_assets.db.connections.retry import Attempts, retry_limit_s
from rag_assets.db.spaces.vector_codec import register_packed_vectors
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.execution.concurrency import Concurrency

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_QUERY_CANCELED = "57014"
# Limits of the server: the size and depth of a statement, the words of a text, a regular expression.
_LIMIT_EXCEEDED = ("54000", "54001", "2201B")
# Insufficient privilege; a read-only transaction, as on a standby.
_WRITE_REFUSED = ("42501", "25006")
# JIT compilation takes longer than a search may. Set for the transaction alone: the connection goes back to a pool.
_DISABLE_JIT = text("SELECT set_config('jit', 'off', true)")
_LIMIT_TIME = text("SELECT set_config('jit', 'off', true), set_config('statement_timeout', :milliseconds, true)")


class ReadSession:
    """Runs functions that only read, on connections of one engine; running one again does no harm."""

    def __init__(self, engine: Engine, concurrency: Concurrency, viewer: Viewer | None = None) -> None:
        """`viewer`: whom all reads are for; without one, the viewer of the task or thread, if any."""
        self._viewer = viewer
        setup = get_connection_setup(engine)
        # The connections of such an engine are in autocommit, with JIT off from the start where no pooler is between.
        self._autocommit_setup = setup if setup is not None and setup.options.autocommit else None
        # Each statement stands for itself, so none needs a transaction and its round trips.
        self._engine = engine if self._autocommit_setup else engine.execution_options(isolation_level="AUTOCOMMIT")
        # Statements that belong together all see what the first one sees.
        self._in_transaction = engine.execution_options(isolation_level="REPEATABLE READ")
        self._single = AutocommitRunner(self._engine, register_packed_vectors)
        # Whether policies restrict viewers: a guess until the first search for one.
        self._restricts = True
        self._concurrency = concurrency

    def read(
        self,
        work: Callable[[Connection, *Ts], T],
        *args: *Ts,
        timeout_s: float | None = None,
        transaction: bool = False,
        as_owner: bool = False,
    ) -> T:
        """The result of `work(connection, *args)`.

        `as_owner`: also where there is a viewer; for what tells nothing of documents.

        `transaction`: for more than one short statement; `timeout_s`, a limit for each statement, needs one too.
        Raises ServiceError where the database does not answer or takes longer than allowed, and UsageError for what
        is beyond the server's limits.
        """
        attempts = Attempts(retry_limit_s(self._engine, timeout_s))
        viewer = None if as_owner else self.viewer
        while True:
            try:
                if timeout_s is None and not transaction and viewer is None:
                    with self._engine.connect() as connection:
                        register_packed_vectors(connection.connection)
                        return work(connection, *args)
                with self._in_transaction.begin() as connection:
                    register_packed_vectors(connection.connection)
                    self._set_limits(connection, timeout_s)
                    if viewer is not None:
                        declare_viewer(connection, viewer)
                    return work(connection, *args)
            except DBAPIError as error:
                self._wait_for_retry(attempts, error, timeout_s)

    @property
    def viewer(self) -> Viewer | None:
        """Whom a read is for; None for the owner."""
        return self._viewer or current_viewer()

    def read_statements(self, work: Callable[[StatementRunner, *Ts], T], *args: *Ts) -> T:
        """Like `read`, for short statements that each stand for themselves."""
        viewer = self.viewer
        if self._autocommit_setup is None or not AutocommitRunner.supports(self._engine):
            return self.read(work, *args, transaction=viewer is not None)
        attempts = Attempts(retry_limit_s(self._engine))
        runner, declaration = self._single, None
        if viewer is not None:
            declaration = ViewerDeclaration(viewer, restricts=self._restricts)
            runner = AutocommitRunner(self._engine, register_packed_vectors, declaration)
        while True:
            try:
                return work(runner, *args)
            except ChangedRestrictionError:
                # The first readers were declared, or the last ones left out, since the last search.
                assert declaration is not None
                self._restricts = declaration.restricts
            except DBAPIError as error:
                self._wait_for_retry(attempts, error, None)

    def attempt(self, work: Callable[[Connection, *Ts], None], *args: *Ts) -> bool:
        """Do something that the search does not depend on; False where the database will always refuse it."""
        try:
            with self._engine.connect() as connection:
                work(connection, *args)
        except ServiceError:
            pass
        except DBAPIError as error:
            return getattr(error.orig, "sqlstate", None) not in _WRITE_REFUSED
        return True

    def attempt_in_background(self, work: Callable[[Connection], None], on_end: Callable[[], None]) -> None:
        """Same as `attempt`, in the background; calls `on_end` when it finishes, whatever the outcome.

        The connection is taken before this returns, so that closing the engine next finds it in use.
        """
        with ExitStack() as stack, suppress(ServiceError, DBAPIError):
            stack.callback(on_end)
            connection = stack.enter_context(self._engine.connect())
            taken = stack.pop_all()

            def attempt() -> None:
                with suppress(ServiceError, DBAPIError), taken:
                    work(connection)

            self._concurrency.start_in_background(attempt)

    def _set_limits(self, connection: Connection, timeout_s: float | None) -> None:
        if timeout_s is not None:
            connection.execute(_LIMIT_TIME, {"milliseconds": str(max(1, round(timeout_s * 1000)))})
        elif self._autocommit_setup is None or self._autocommit_setup.pooled:
            connection.execute(_DISABLE_JIT)

    def _wait_for_retry(self, attempts: Attempts, error: DBAPIError, timeout_s: float | None) -> None:
        """Sleep until the next attempt, or raise what the caller is to see."""
        sqlstate = getattr(error.orig, "sqlstate", None)
        if sqlstate == _QUERY_CANCELED:
            limit = f"{timeout_s:g} s" if timeout_s is not None else "the database allows"
            raise ServiceError(f"the search took longer than {limit}; give it more time, or ask for less.") from error
        if sqlstate in _LIMIT_EXCEEDED:
            reason = str(error.orig).splitlines()[0]
            raise UsageError(f"this is too much for the database: {reason}; ask for less at one time.") from error
        self._concurrency.sleep(attempts.pause_s(error))
