"""How a search reads: without a transaction, bounded in time, asked again where a connection broke."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from rag_assets.db.retry import Attempts
from rag_assets.errors import ServiceError
from rag_assets.search.waiting import Waiting

T = TypeVar("T")

_QUERY_CANCELED = "57014"
_BOUND = text("SELECT set_config('statement_timeout', :milliseconds, true)")


class Reader:
    """Runs work on a connection of the engine; the work only reads, so that doing it again does no harm."""

    def __init__(self, engine: Engine, waiting: Waiting) -> None:
        # Each statement stands for itself, so none needs a transaction and its round trips.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._in_transaction = engine.execution_options(isolation_level="READ COMMITTED")
        self._waiting = waiting

    def read(self, work: Callable[[Connection], T], timeout_s: float | None = None) -> T:
        """The work's result; raises ServiceError when the database stays away, or works longer than allowed."""
        attempts = Attempts(self._engine)
        while True:
            try:
                return self._read(work, timeout_s)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) == _QUERY_CANCELED:
                    limit = f"{timeout_s:g} s" if timeout_s is not None else "the database allows"
                    raise ServiceError(
                        f"the search took longer than {limit}; give it more time, or ask for less."
                    ) from error
                self._waiting.sleep(attempts.pause_s(error))

    def _read(self, work: Callable[[Connection], T], timeout_s: float | None) -> T:
        if timeout_s is None:
            with self._engine.connect() as connection:
                return work(connection)
        # A limit that is gone with the transaction: whoever has the connection next is not bound by it.
        with self._in_transaction.begin() as connection:
            connection.execute(_BOUND, {"milliseconds": str(max(1, round(timeout_s * 1000)))})
            return work(connection)
