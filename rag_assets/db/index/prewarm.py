"""Indexes read into the server's memory before the first search, where the extension pg_prewarm is there."""

from sqlalchemy import Connection, text

from rag_assets.db.index.state import index_in_use
from rag_assets.db.models import SCHEMA, EmbeddingSpace

# More than this share of the server's buffers would push out what searches read beside the index.
MOST_OF_BUFFERS = 0.5
# A server that started within this time may not have read the index yet; what it has is only looked up.
COLD_FOR_S = 24 * 60 * 60

# Not by the name of the extension: it may be there for others, out of this role's reach.
_WANTED = text(
    "SELECT COALESCE(has_function_privilege(to_regproc('pg_prewarm'), 'EXECUTE'), false) "
    "AND (:always OR pg_postmaster_start_time() > now() - make_interval(secs => :cold_s))"
)
_WARM = text(
    "SELECT CASE WHEN pg_relation_size(i.oid) <= :share * pg_size_bytes(current_setting('shared_buffers')) "
    "THEN pg_prewarm(i.oid) ELSE 0 END FROM (SELECT to_regclass(:name) AS oid) AS i WHERE i.oid IS NOT NULL"
)


def prewarm_index(connection: Connection, space: EmbeddingSpace, *, always: bool) -> int:
    """Blocks of the space's index that were read; without `always`, only in a server that started a short time ago."""
    if not connection.scalar(_WANTED, {"always": always, "cold_s": COLD_FOR_S}):
        return 0
    name = f"{SCHEMA}.{index_in_use(connection, space)}"
    return connection.scalar(_WARM, {"share": MOST_OF_BUFFERS, "name": name}) or 0
