"""Whether to compare all that qualifies or to walk the graph: by how many vectors there are and how many qualify."""

import math
import time
from collections import OrderedDict
from collections.abc import Hashable

from sqlalchemy import Float, column, func, select, table

from rag_assets.db.connections.execute import StatementRunner
from rag_assets.db.index.knn import MOST_TUPLES
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import partition

# Up to here comparing all that qualifies takes no longer than a walk through the graph, whatever the filter.
ALWAYS_EXACTLY = 1_000
# A candidate of the graph, which must be asked whether it qualifies, costs about as much as four comparisons.
CANDIDATE_COST = 4
# The graph is left when it has looked at so many times the candidates that the filter lets expect.
PATIENCE = 20
FEWEST_TUPLES = 4_000
# A count decides how to search, never what is found, so it may be somewhat old.
COUNT_AGE_S = 60
COUNTS_KEPT = 1_000

_RELATIONS = table("pg_class", column("oid"), column("reltuples", Float), schema="pg_catalog")


class Counts:
    """What was counted not long ago: the vectors of spaces, and which filters leave too much to compare."""

    def __init__(self) -> None:
        self._vectors: dict[int, tuple[float, float]] = {}
        self._many: OrderedDict[Hashable, float] = OrderedDict()

    def most_compared(self, connection: StatementRunner, space: EmbeddingSpace, k: int) -> int:
        """Up to how many rows comparing all that qualify is cheaper.

        Of n among N, the graph must look at about k * N / n candidates, the comparison at n.
        """
        equal = math.sqrt(CANDIDATE_COST * k * self._vectors_of(connection, space))
        # In one digit: it is a part of the statement, and few statements are to serve for all.
        return max(1, ALWAYS_EXACTLY, int(float(f"{equal:.0e}")))

    def scan_tuples(self, connection: StatementRunner, space: EmbeddingSpace, k: int) -> int:
        """When to leave the graph for a filter that leaves more than those."""
        expected = k * self._vectors_of(connection, space) / self.most_compared(connection, space, k)
        return int(min(MOST_TUPLES, max(FEWEST_TUPLES, PATIENCE * expected)))

    def are_many(self, key: Hashable) -> bool:
        """Whether this filter was seen not long ago to leave more than those."""
        return time.monotonic() - self._many.get(key, -math.inf) < COUNT_AGE_S

    def note_many(self, key: Hashable) -> None:
        self._many[key] = time.monotonic()
        self._many.move_to_end(key)
        if len(self._many) > COUNTS_KEPT:
            self._many.popitem(last=False)

    def _vectors_of(self, connection: StatementRunner, space: EmbeddingSpace) -> float:
        known = self._vectors.get(space.id)
        if known is None or time.monotonic() - known[0] >= COUNT_AGE_S:
            estimate = select(func.greatest(_RELATIONS.c.reltuples, 0.0)).where(
                _RELATIONS.c.oid == func.to_regclass(partition(space.id).fullname)
            )
            # Without its table there are no vectors, which the search itself then says.
            known = self._vectors[space.id] = time.monotonic(), connection.scalar(estimate) or 0.0
        return known[1]
