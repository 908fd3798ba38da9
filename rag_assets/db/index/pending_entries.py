"""The pending lists of GIN indexes, which serve keyword search and filters by metadata."""

from sqlalchemy import Engine, text

from rag_assets.db.models import SCHEMA

# By the owner alone; a standby has nothing to merge.
_MERGE = text(
    "SELECT sum(gin_clean_pending_list(c.oid)) FROM pg_class c JOIN pg_am a ON a.oid = c.relam "
    "WHERE a.amname = 'gin' AND c.relkind = 'i' AND c.relnamespace = to_regnamespace(:schema) "
    "AND pg_has_role(c.relowner, 'USAGE') AND NOT pg_is_in_recovery()"
)


def merge_pending_entries(engine: Engine) -> int:
    """Merge what was written since the last VACUUM into the indexes; returns the pages that were merged.

    A GIN index collects new entries in a list of up to 4 MB, which every search reads from its beginning to its end:
    keyword search takes twice as long then, and VACUUM may be hours away.
    """
    with engine.begin() as connection:
        return int(connection.scalar(_MERGE, {"schema": SCHEMA}) or 0)
