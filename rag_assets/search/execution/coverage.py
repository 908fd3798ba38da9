"""Whether the live space lacks vectors, so that answers can say so: known by signs, counted when these change."""

import threading
import time

from sqlalchemy import Connection, text

from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.pending import count_pending_texts, count_texts
from rag_assets.db.spaces.text_kinds import text_source
from rag_assets.search.execution.read_session import Reader
from rag_assets.search.results import Degraded

# The signs are looked at this often at most, whatever the number of searches, by a statement that reads no table.
LOOK_S = 2.0
# The server's statistics come seconds late at times, so what costs next to nothing is counted at each look.
CHEAP_S = 0.01
# Counting takes no more than a fiftieth of the time, also while an ingest changes the signs again and again.
SHARE = 50

_SIGNS = text(
    "SELECT pg_stat_get_tuples_deleted(v), pg_stat_get_live_tuples(v), pg_stat_get_tuples_inserted(t), "
    "pg_stat_get_tuples_updated(t) FROM (SELECT to_regclass(:vectors)::oid AS v, to_regclass(:texts)::oid AS t) AS o"
)


class Completeness:
    """What is known of one live space, shared by all searches of a retriever; none of them waits for another."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._looking = threading.Lock()
        self._space: int | None = None
        self._signs: object = None
        self._looked = self._counted = self._took_s = 0.0
        self._found: Degraded | None = None

    def of(self, space: EmbeddingSpace) -> Degraded | None:
        """How many texts searches cannot find by their vectors, None where there are all; up to seconds old."""
        known = self._space == space.id
        if known and time.monotonic() - self._looked < LOOK_S:
            return self._found
        if self._looking.acquire(blocking=False):
            self._looked = time.monotonic()
            self._begin(space, beside=known)
        # Another search may be looking at the space that took this one's place, or the other way round.
        return self._found if self._space == space.id else None

    def _begin(self, space: EmbeddingSpace, *, beside: bool) -> None:
        def look(connection: Connection) -> None:
            self._look(connection, space)

        # Only a space of which nothing is known is waited for; else the next search knows what this one sees.
        if beside:
            self._reader.attempt_beside(look, self._looking.release)
            return
        try:
            self._space, self._signs, self._found = space.id, None, None
            self._reader.attempt(look)
        finally:
            self._looking.release()

    def _look(self, connection: Connection, space: EmbeddingSpace) -> None:
        names = {"vectors": partition(space.id).fullname, "texts": f"{SCHEMA}.{text_source(space).table.__tablename__}"}
        signs = tuple(connection.execute(_SIGNS, names).one())
        if signs == self._signs:
            due = self._took_s < CHEAP_S
        else:
            due = self._signs is None or time.monotonic() - self._counted >= SHARE * self._took_s
        if not due:
            return
        started = time.monotonic()
        missing = connection.scalar(count_pending_texts(space)) or 0
        texts = (connection.scalar(count_texts(space)) or 0) if missing else 0
        self._found = Degraded(texts, missing) if missing else None
        self._counted = time.monotonic()
        self._took_s, self._signs = self._counted - started, signs
