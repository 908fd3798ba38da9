"""Recall of the index: what it finds, against what comparing all vectors finds."""

from collections.abc import Sequence

from sqlalchemy import Connection, Table

from rag_assets.db.connections.compiled import CompiledStatement
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.index.knn import graph_values
from rag_assets.db.models import EmbeddingSpace
from rag_assets.search.vector.statements import exact_distances_to_many


def exact_distances(
    connection: Connection, space: EmbeddingSpace, table: Table, questions: Sequence[str], k: int
) -> list[list[float]]:
    """The distances of the `k` nearest texts to each question, all vectors compared; questions as pgvector writes."""
    found: list[list[float]] = [[] for _ in questions]
    for number, distance in connection.execute(exact_distances_to_many(space, table, k), {"queries": list(questions)}):
        found[number - 1].append(distance)
    return found


def index_distances(connection: Connection, sent: CompiledStatement, question: str, ef_search: int) -> list[float]:
    """The distances of what the index gives for a question; `sent` is a compiled `nearest_texts`."""
    return [distance for _, distance in run_compiled(connection, sent, graph_values(question, ef_search))]


def distance_recall(found: Sequence[float], right: Sequence[float]) -> float:
    """By distance, not by row: of two texts at one distance either is right."""
    return sum(distance <= max(right) + 1e-6 for distance in found) / len(right)
