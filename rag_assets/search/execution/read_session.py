"""How a search reads: without a transaction, bounded in time, asked again where a connection broke."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from rag_assets.db.connections.execute import AutocommitRunner, StatementRunner
from rag_assets.db.connections.pooler import link_of
from rag_assets.db.connections.retry import Attempts
from rag_assets.db.spaces.vector_codec import register_packed_vectors
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.execution.concurrency import Waiting

T = TypeVar("T")

_QUERY_CANCELED = "57014"
# Limits of the server: of a statement's size and depth, of a text's words, of a regular expression.
_TOO_MUCH = ("54000", "54001", "2201B")
# To a role that may only read, and on a standby.
_REFUSED = ("42501", "25006")
# Compiling a statement takes longer than a search may; and whoever has the connection next is not bound by this.
_CAREFUL = text("SELECT set_config('jit', 'off', true)")
_BOUND = text("SELECT set_config('jit', 'off', true), set_config('statement_timeout', :milliseconds, true)")


class Reader:
    """Runs work on a connection of the engine; the work only reads, so that doing it again does no harm."""

    def __init__(self, engine: Engine, waiting: Waiting) -> None:
        # Each statement stands for itself, so none needs a transaction and its round trips.
        link = link_of(engine)
        # Such a link's sessions begin with what a search needs, where they are its own.
        self._ready = link if link is not None and link.options.autocommit else None
        self._engine = engine if self._ready else engine.execution_options(isolation_level="AUTOCOMMIT")
        # Where several belong together, all of them see what the first one sees.
        self._in_transaction = engine.execution_options(isolation_level="REPEATABLE READ")
        self._single = AutocommitRunner(self._engine, register_packed_vectors)
        self._waiting = waiting

    def read(self, work: Callable[[Connection], T], *, timeout_s: float | None = None, transaction: bool = False) -> T:
        """The work's result; raises ServiceError when the database stays away, or works longer than allowed.

        Raises UsageError for what is beyond the limits of the server.
        A `transaction` is for more than one short statement; `timeout_s` needs one too.
        """
        return self._repeated(lambda: self._read(work, timeout_s, transaction), timeout_s)

    def read_single(self, work: Callable[[StatementRunner], T]) -> T:
        """The like for short statements, each of which stands for itself."""
        if self._ready is not None and AutocommitRunner.supports(self._engine):
            return self._repeated(lambda: work(self._single), None)
        return self.read(work)

    def _repeated(self, once: Callable[[], T], timeout_s: float | None) -> T:
        attempts = Attempts(self._engine, timeout_s)
        while True:
            try:
                return once()
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) == _QUERY_CANCELED:
                    limit = f"{timeout_s:g} s" if timeout_s is not None else "the database allows"
                    raise ServiceError(
                        f"the search took longer than {limit}; give it more time, or ask for less."
                    ) from error
                if getattr(error.orig, "sqlstate", None) in _TOO_MUCH:
                    reason = str(error.orig).splitlines()[0]
                    raise UsageError(
                        f"this is too much for the database: {reason}; ask for less at one time."
                    ) from error
                self._waiting.sleep(attempts.pause_s(error))

    def attempt(self, work: Callable[[Connection], None]) -> bool:
        """Do what a search goes on without; False where the database will refuse it the next time too."""
        try:
            with self._engine.connect() as connection:
                work(connection)
        except ServiceError:
            pass
        except DBAPIError as error:
            return getattr(error.orig, "sqlstate", None) not in _REFUSED
        return True

    def attempt_beside(self, work: Callable[[Connection], None], ended: Callable[[], None]) -> None:
        """The like while the caller goes on, who does not hear how it ended, but that it did.

        Its connection is taken at once, so that who closes the engine thereafter finds it in use.
        """
        with ExitStack() as taken, suppress(ServiceError, DBAPIError):
            taken.callback(ended)
            connection = taken.enter_context(self._engine.connect())
            later = taken.pop_all()

            def attempt() -> None:
                with suppress(ServiceError, DBAPIError), later:
                    work(connection)

            self._waiting.beside(attempt)

    def _read(self, work: Callable[[Connection], T], timeout_s: float | None, transaction: bool) -> T:
        if timeout_s is None and not transaction:
            with self._engine.connect() as connection:
                register_packed_vectors(connection.connection)
                return work(connection)
        with self._in_transaction.begin() as connection:
            register_packed_vectors(connection.connection)
            if timeout_s is None:
                if self._ready is None or self._ready.pooled:
                    connection.execute(_CAREFUL)
            else:
                connection.execute(_BOUND, {"milliseconds": str(max(1, round(timeout_s * 1000)))})
            return work(connection)
