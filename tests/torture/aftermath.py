"""What a command left: rows by content, and what nobody should find after it."""

import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from psycopg import sql

from tests.torture.server import Server

# Columns that hold a time or the id of a run; tables of measured times, of what checks have read so far, which differs
# with the number of runs, and of a random key.
VARYING = [
    *("created_at", "updated_at", "promoted_at", "stepped_back_at", "rolled_back_at", "refreshed_at"),
    *("run_id", "counted"),
]
MEASURED = ("work_rates", "query_vectors", "check_watermarks", "row_changes", "viewer_key")
SETTLE_S = 10.0

_TABLES = (
    "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'rag'::regnamespace AND c.relkind IN ('r', 'p') "
    "AND NOT c.relispartition AND c.relname !~ '^latency_probe' AND c.relname <> ALL (%s) ORDER BY 1"
)
_DEFINITIONS = {
    "(columns)": "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default, "
    "generation_expression) FROM information_schema.columns WHERE table_schema = 'rag' "
    "AND table_name !~ '^latency_probe'",
    "(indexes)": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'rag' AND tablename !~ '^latency_probe'",
    "(views)": "SELECT concat_ws(' ', viewname, definition) FROM pg_views WHERE schemaname = 'rag'",
    "(functions)": "SELECT concat_ws(' ', proname, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'rag'::regnamespace",
}
_LEFTOVERS = {
    "advisory lock": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    "session": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND backend_type IN ('client backend', 'parallel worker') AND application_name <> 'torture'",
    "invalid index": "SELECT count(*) FROM pg_index WHERE NOT (indisvalid AND indisready)",
    "temporary table": "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
    "table of no space": "SELECT count(*) FROM pg_class WHERE relnamespace = 'rag'::regnamespace AND relkind = 'r' "
    "AND relname ~ '^embeddings_[0-9]+$' AND NOT EXISTS (SELECT FROM rag.embedding_spaces s "
    "WHERE relname = 'embeddings_' || s.id)",
    "prepared transaction": "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()",
}

# Hashes of rows, with their number, by table.
Content = dict[str, Counter[str]]


def read_content(server: Server, database: str) -> Content:
    found: Content = {}
    with server.connect(database) as connection:
        tables = [row[0] for row in connection.execute(_TABLES, [list(MEASURED)])]
        for table in tables:
            query = sql.SQL("SELECT md5((to_jsonb(t) - %s::text[])::text) FROM rag.{} t").format(sql.Identifier(table))
            found[table] = Counter(row[0] for row in connection.execute(query, [VARYING]))
        for name, statement in _DEFINITIONS.items():
            found[name] = Counter(str(row[0]) for row in connection.execute(statement))
    return found


def count_differences(found: Content, expected: Content) -> dict[str, int]:
    """The rows that are in one of the two alone, by table."""
    differing = {}
    for table in found.keys() | expected.keys():
        here, there = found.get(table, Counter()), expected.get(table, Counter())
        count = (here - there).total() + (there - here).total()
        if count:
            differing[table] = count
    return differing


def find_leftovers(server: Server, database: str, folder: Path, home: Path, children: list[int]) -> list[str]:
    """What is left once everything had time to end; empty when nothing is."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        left = [f"{count} x {what}" for what, count in _count_in_database(server, database).items() if count]
        left += [f"process {pid}" for pid in children if _runs(pid)]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    left += [f"temporary file {path.name}" for path in folder.glob("*/tmp/*")]
    left += [f"temporary file {name} of the server" for name in server.temporary_files()]
    left += [f"run {status}" for status in _unfinished_runs(home)]
    return left


def _count_in_database(server: Server, database: str) -> dict[str, int]:
    with server.connect(database) as connection:
        counts: dict[str, int] = {}
        for what, statement in _LEFTOVERS.items():
            row = connection.execute(statement).fetchone()
            assert row is not None
            counts[what] = row[0]
        return counts


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def _unfinished_runs(home: Path) -> list[str]:
    """The states of Dagster's runs that are neither successful, failed nor cancelled."""
    file = home / "history" / "runs.db"
    if not file.exists():
        return []
    with closing(sqlite3.connect(file)) as history:
        rows: list[tuple[Any, ...]] = history.execute(
            "SELECT status FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"
        ).fetchall()
    return [str(status) for (status,) in rows]
