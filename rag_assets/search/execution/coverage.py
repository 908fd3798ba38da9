"""Whether the live space lacks vectors: detected from table statistics, counted exactly only when those change."""

import threading
import time
from functools import partial

from sqlalchemy import Connection, text

from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.spaces.partitions import table_names
from rag_assets.db.spaces.pending import count_missing_texts, count_searched_texts
from rag_assets.db.spaces.text_kinds import searched_text_source
from rag_assets.search.execution.read_session import ReadSession
from rag_assets.search.results import Degraded

# The statistics are read this often at most, whatever the number of searches, by a statement that reads no table.
CHECK_INTERVAL_S = 2.0
# The server's statistics sometimes come seconds late, so a count that takes less than this is made at each check.
CHEAP_COUNT_S = 0.01
# Counting takes no more than one fiftieth of the time, also while an ingest changes the statistics all the time.
COUNT_SHARE = 50

_STATISTICS = text(
    "SELECT sum(pg_stat_get_tuples_deleted(v)), sum(pg_stat_get_live_tuples(v)), "
    "pg_stat_get_tuples_inserted(to_regclass(:texts)), pg_stat_get_tuples_updated(to_regclass(:texts)) "
    "FROM (SELECT to_regclass(name)::oid AS v FROM unnest(CAST(:vectors AS text[])) AS name) AS o"
)


class CoverageCheck:
    """The coverage of one live space, shared by all searches of a retriever; no search waits for another's check."""

    def __init__(self, session: ReadSession) -> None:
        self._session = session
        self._checking = threading.Lock()
        self._space: int | None = None
        self._statistics: object = None
        self._checked_at = self._counted_at = self._count_took_s = 0.0
        self._degraded: Degraded | None = None

    def degraded(self, space: EmbeddingSpace) -> Degraded | None:
        """How many texts have no vector, None where all have one; up to seconds old.

        Starts a check in the background where the last one is older. The first search of a space waits for it.
        """
        is_known = self._space == space.id
        if is_known and time.monotonic() - self._checked_at < CHECK_INTERVAL_S:
            return self._degraded
        if self._checking.acquire(blocking=False):
            self._checked_at = time.monotonic()
            self._start_check(space, in_background=is_known)
        # Another search may be checking the space that replaced this one, or was replaced by it.
        return self._degraded if self._space == space.id else None

    def _start_check(self, space: EmbeddingSpace, *, in_background: bool) -> None:
        if in_background:
            self._session.attempt_in_background(partial(self._check, space=space), self._checking.release)
            return
        try:
            self._space, self._statistics, self._degraded = space.id, None, None
            self._session.attempt(self._check, space)
        finally:
            self._checking.release()

    def _check(self, connection: Connection, space: EmbeddingSpace) -> None:
        names = {
            "vectors": [f"{SCHEMA}.{name}" for name in table_names(space)],
            "texts": f"{SCHEMA}.{searched_text_source(space).table.__tablename__}",
        }
        statistics = tuple(connection.execute(_STATISTICS, names).one())
        if statistics == self._statistics:
            is_due = self._count_took_s < CHEAP_COUNT_S
        else:
            waited_s = time.monotonic() - self._counted_at
            is_due = self._statistics is None or waited_s >= COUNT_SHARE * self._count_took_s
        if not is_due:
            return
        started = time.monotonic()
        missing = connection.scalar(count_missing_texts(space)) or 0
        texts = (connection.scalar(count_searched_texts(space)) or 0) if missing else 0
        self._degraded = Degraded(texts, missing) if missing else None
        self._counted_at = time.monotonic()
        self._count_took_s, self._statistics = self._counted_at - started, statistics
