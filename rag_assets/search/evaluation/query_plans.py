"""The plans of the statements that searches send."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, Select, text
from sqlalchemy.dialects import postgresql

from rag_assets.db.connections.compiled import compile_statement
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.index.knn import nearest_texts, rescored_candidates, statement_values
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.search.vector.statements import select_nearest

FEW_CANDIDATES = 10
ROWS = 20
# With fewer vectors, those that an index leaves out, such as vectors of length 0, would make the test fail.
MIN_VECTORS_FOR_ITERATIVE_SCAN = 100


def index_search_statement(space: EmbeddingSpace, k: int, ef_search: int) -> Select[Any]:
    """The statement that searches of the space's kind send."""
    candidates = rescored_candidates(space, k, ef_search)
    match space.kind:
        case "chunks":
            return select_nearest(space, k, candidates=candidates)
        case "messages":
            from rag_assets.search.kinds.message_filters import MESSAGES

            return select_nearest(space, k, MESSAGES, candidates)
        case "memories":
            # Recall of memories reads only the nearest texts from the index, and scores them itself.
            return nearest_texts(space, partition(space.id), k, candidates=candidates)
        case _:
            from rag_assets.search.kinds.tables import table_searchable

            return select_nearest(space, k, table_searchable(space.kind), candidates)


def explain_statement(connection: Connection, statement: Select[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The plan, in PostgreSQL's JSON format."""
    compiled = statement.compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor:
        explained = sql.SQL("EXPLAIN (FORMAT JSON) {}").format(sql.SQL(str(compiled)))
        row = cursor.execute(explained, compiled.construct_params(dict(values))).fetchone()
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return plan[0]["Plan"]  # type: ignore[no-any-return]


def uses_index(
    connection: Connection,
    statement: Select[Any],
    values: Mapping[str, Any],
    indexes: Collection[str],
    *,
    forced: bool = False,
) -> bool:
    """Whether the plan scans all of these indexes; `forced` disables other plans, to test whether they are usable."""
    with connection.begin_nested():
        if forced:
            force_index_scan(connection)
        return _index_names(explain_statement(connection, statement, values)).issuperset(indexes)


def force_index_scan(connection: Connection) -> None:
    """Disable sequential scans and sorts for this transaction, so that only an ordered index scan is left."""
    connection.execute(text("SELECT set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)"))


def supports_iterative_scan(connection: Connection, space: EmbeddingSpace, vector: str) -> bool:
    """Whether the index returns more rows than it keeps candidates (hnsw.iterative_scan)."""
    if space.storage == "bit":
        # Searches read no more rows than it keeps candidates, and rank those by their full vectors.
        return True
    statement = compile_statement(nearest_texts(space, partition(space.id), ROWS))
    with connection.begin_nested():
        force_index_scan(connection)
        return len(run_compiled(connection, statement, statement_values(vector, FEW_CANDIDATES))) == ROWS


def _index_names(plan: dict[str, Any]) -> set[str]:
    found = {plan["Index Name"]} if "Index Name" in plan else set()
    return found.union(*(_index_names(child) for child in plan.get("Plans", ())))
