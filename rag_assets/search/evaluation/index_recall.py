"""Recall of an index, compared with an exact scan of all vectors."""

from collections.abc import Sequence

from sqlalchemy import Connection, Table

from rag_assets.db.connections.compiled import CompiledStatement
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.index.knn import statement_values
from rag_assets.db.models import EmbeddingSpace
from rag_assets.search.vector.statements import select_exact_distances


def exact_distances(
    connection: Connection, space: EmbeddingSpace, table: Table, queries: Sequence[str], k: int
) -> list[list[float]]:
    """The distances of the `k` nearest texts to each query, by an exact scan; queries are in pgvector's text format."""
    found: list[list[float]] = [[] for _ in queries]
    for number, distance in connection.execute(select_exact_distances(space, table, k), {"queries": list(queries)}):
        found[number - 1].append(distance)
    return found


def index_distances(connection: Connection, statement: CompiledStatement, query: str, ef_search: int) -> list[float]:
    """The distances of the texts that the index finds for a query; `statement` is a compiled `nearest_texts`."""
    return [distance for _, distance in run_compiled(connection, statement, statement_values(query, ef_search))]


def distance_recall(found: Sequence[float], exact: Sequence[float]) -> float:
    """Recall by distance, not by row: of two texts at the same distance, either counts."""
    return sum(distance <= max(exact) + 1e-6 for distance in found) / len(exact)
