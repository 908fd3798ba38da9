"""How selective a filter is, and so whether to compare all rows that pass it or to walk the graph."""

import math
import time
from collections import OrderedDict
from collections.abc import Hashable

from sqlalchemy import Float, column, func, select, table

from rag_assets.db.connections.execute import StatementRunner
from rag_assets.db.index.knn import MAX_SCAN_TUPLES
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.spaces.partitions import table_names

# Comparing so few rows takes no longer than a walk through the graph, whatever the filter.
ALWAYS_EXACT_ROWS = 1_000
# Testing whether a candidate of the graph passes the filter costs about as much as comparing four rows.
CANDIDATE_COST = 4
# The walk ends after so many times the candidates that the filter's selectivity lets expect.
SCAN_FACTOR = 20
MIN_SCAN_TUPLES = 4_000
# Counts decide how to search, never what is found, so they may be this old.
MAX_AGE_S = 60
MAX_FILTERS = 1_000

_RELATIONS = table("pg_class", column("oid"), column("reltuples", Float), schema="pg_catalog")


class SelectivityCache:
    """Recent counts: the vectors of each space, and the filters that let too many rows pass to compare all."""

    def __init__(self) -> None:
        self._vectors: dict[int, tuple[float, float]] = {}
        self._broad: OrderedDict[Hashable, float] = OrderedDict()

    def exact_limit(self, connection: StatementRunner, space: EmbeddingSpace, k: int) -> int:
        """The number of passing rows up to which comparing all of them is cheaper than the graph.

        Where n of N rows pass, the graph must look at about k * N / n candidates, the comparison at n rows.
        """
        break_even = math.sqrt(CANDIDATE_COST * k * self._count_vectors(connection, space))
        # One significant digit: the number is part of the statement's text, and few statements are to serve for all.
        return max(1, ALWAYS_EXACT_ROWS, int(float(f"{break_even:.0e}")))

    def scan_tuples(self, connection: StatementRunner, space: EmbeddingSpace, k: int) -> int:
        """How many tuples to scan (hnsw.max_scan_tuples) for a filter that passes more rows than `exact_limit`."""
        expected = k * self._count_vectors(connection, space) / self.exact_limit(connection, space, k)
        return int(min(MAX_SCAN_TUPLES, max(MIN_SCAN_TUPLES, SCAN_FACTOR * expected)))

    def is_broad(self, key: Hashable) -> bool:
        """Whether the filter recently passed more rows than `exact_limit`."""
        return time.monotonic() - self._broad.get(key, -math.inf) < MAX_AGE_S

    def note_broad(self, key: Hashable) -> None:
        self._broad.pop(key, None)
        self._broad[key] = time.monotonic()
        if len(self._broad) > MAX_FILTERS:
            self._broad.popitem(last=False)

    def _count_vectors(self, connection: StatementRunner, space: EmbeddingSpace) -> float:
        known = self._vectors.get(space.id)
        if known is None or time.monotonic() - known[0] >= MAX_AGE_S:
            tables = [func.to_regclass(f"{SCHEMA}.{name}") for name in table_names(space)]
            estimate = select(func.sum(func.greatest(_RELATIONS.c.reltuples, 0.0))).where(_RELATIONS.c.oid.in_(tables))
            # NULL where the table is gone; the search itself reports that.
            known = self._vectors[space.id] = time.monotonic(), connection.scalar(estimate) or 0.0
        return known[1]
