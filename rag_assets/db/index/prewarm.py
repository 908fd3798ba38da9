"""Reads indexes into the server's memory before the first search, if the extension pg_prewarm is installed."""

from sqlalchemy import Connection, text

from rag_assets.db.index.state import used_index_names
from rag_assets.db.models import SCHEMA, EmbeddingSpace

# An index above this share of shared_buffers would evict the tables that searches read too.
MAX_BUFFERS_SHARE = 0.5
# A server that started more recently than this may not have read the index yet; pages in memory are not read again.
COLD_FOR_S = 24 * 60 * 60

# Checks the function, not the extension: this role may lack the privilege to execute it.
_SHOULD_PREWARM = text(
    "SELECT COALESCE(has_function_privilege(to_regproc('pg_prewarm'), 'EXECUTE'), false) "
    "AND (:always OR pg_postmaster_start_time() > now() - make_interval(secs => :cold_s))"
)
_PREWARM = text(
    "WITH indexes AS (SELECT to_regclass(name) AS oid FROM unnest(CAST(:names AS text[])) AS name) "
    "SELECT sum(pg_prewarm(oid)) FROM indexes WHERE oid IS NOT NULL AND (SELECT sum(pg_relation_size(oid)) "
    "FROM indexes) <= :share * pg_size_bytes(current_setting('shared_buffers'))"
)


def prewarm_index(connection: Connection, space: EmbeddingSpace, *, always: bool) -> int:
    """Prewarm the space's index, unless the server has run for long and not `always`; returns the blocks read."""
    if not connection.scalar(_SHOULD_PREWARM, {"always": always, "cold_s": COLD_FOR_S}):
        return 0
    names = [f"{SCHEMA}.{name}" for name in used_index_names(connection, space)]
    return connection.scalar(_PREWARM, {"share": MAX_BUFFERS_SHARE, "names": names}) or 0
