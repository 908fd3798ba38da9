"""What a build may take of the server: memory in which all of it fits, and workers that are worth their start."""

from sqlalchemy import Connection, text

from rag_assets.db.index.definition import lists_for
from rag_assets.db.models import EmbeddingSpace

# Measured over 384 dimensions on two cores: below, starting workers takes as long as they save.
_FEWEST_ROWS_FOR_WORKERS = 10_000
_LEAST_MB = 64
_BYTES = {"vector": 4.0, "halfvec": 2.0, "bit": 1 / 8}


def memory_mb(space: EmbeddingSpace, rows: int, limit_mb: int) -> int:
    """Beyond it a graph is built many times slower, and with less than this IVFFlat refuses to begin."""
    width = space.dimensions * _BYTES[space.storage]
    if space.method == "ivfflat":
        lists = lists_for(rows)
        samples = max(10_000, 50 * lists)
        # pgvector's k-means: the samples, their distances to the centres, and the centres with theirs.
        needed = samples * (width + 4 * lists) + lists * (4 * lists + 3 * width + 64)
    else:
        # Measured with pgvector 0.8: the vector itself, and about 40 bytes for each of its 2 m links on the ground
        # layer.
        needed = rows * (width + 2 * space.m * 40 + 200)
    return int(min(max(_LEAST_MB, needed * 1.2 / 1e6), max(_LEAST_MB, limit_mb)))


def limit_mb(connection: Connection, wanted_mb: int) -> int:
    """The limit that was set, but no more than half of what the server is told that its machine has for caching."""
    told = connection.scalar(text("SELECT pg_size_bytes(current_setting('effective_cache_size')) / 1048576")) or 0
    return min(wanted_mb, max(_LEAST_MB, int(told) // 2))


def workers(connection: Connection, rows: int, wanted: int | None) -> int:
    """Parallel workers of a build: as many as were set, or as the server allows one; none for a few rows."""
    if rows < _FEWEST_ROWS_FOR_WORKERS:
        return 0
    allowed, most = connection.execute(
        text(
            "SELECT current_setting('max_parallel_maintenance_workers')::int, "
            "least(current_setting('max_parallel_workers')::int, current_setting('max_worker_processes')::int)"
        )
    ).one()
    return int(min(allowed if wanted is None else wanted, most))
