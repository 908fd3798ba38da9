"""Memory and parallel workers of an index build."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from rag_assets.db.index.definition import lists_for
from rag_assets.db.models import EmbeddingSpace

# Measured with 384 dimensions on two cores: below this, starting workers takes as long as they save.
_MIN_ROWS_FOR_WORKERS = 10_000
_MIN_MB = 64
MOST_PARTS = 64
_BYTES = {"vector": 4.0, "halfvec": 2.0, "bit": 1 / 8}


@dataclass(frozen=True, slots=True)
class BuildShares:
    """So many builds at a time, and the memory and the parallel workers of each."""

    at_once: int
    memory_limit_mb: int
    workers: int


def share_resources(space: EmbeddingSpace, parts: int, rows: int, memory_limit_mb: int, workers: int) -> BuildShares:
    """Divide what one build may take among those of `parts` with `rows` each: as many at a time as have their memory.

    A graph that does not fit into the memory is built many times slower, so the memory is never divided further.
    """
    fitting = max(1, memory_limit_mb // build_memory_mb(space, rows))
    at_once = max(1, min(parts, fitting, workers + 1))
    return BuildShares(at_once, memory_limit_mb // at_once, (workers + 1) // at_once - 1)


def parts_for(space: EmbeddingSpace, rows: int, memory_limit_mb: int) -> int:
    """The least number of parts whose graphs each fit into the memory of a build."""
    if space.method == "ivfflat":
        return 1
    return min(MOST_PARTS, max(1, -(-build_memory_mb(space, rows) // max(_MIN_MB, memory_limit_mb))))


def build_memory_mb(space: EmbeddingSpace, rows: int, memory_limit_mb: int | None = None) -> int:
    """maintenance_work_mem for this build: with less an HNSW build is many times slower, and IVFFlat fails."""
    width = space.dimensions * _BYTES[space.storage]
    if space.method == "ivfflat":
        lists = lists_for(rows)
        samples = max(10_000, 50 * lists)
        # pgvector's k-means: the samples, their distances to the centres, and the centres with their distances.
        needed = samples * (width + 4 * lists) + lists * (4 * lists + 3 * width + 64)
    else:
        # Measured with pgvector 0.8: the vector, and about 40 bytes for each of its 2 m links on layer 0.
        needed = rows * (width + 2 * space.m * 40 + 200)
    wanted_mb = int(max(_MIN_MB, needed * 1.2 / 1e6))
    return wanted_mb if memory_limit_mb is None else min(wanted_mb, max(_MIN_MB, memory_limit_mb))


def memory_limit_mb(connection: Connection, wanted_mb: int) -> int:
    """The configured limit, but at most half of the server's effective_cache_size."""
    cache_mb = connection.scalar(text("SELECT pg_size_bytes(current_setting('effective_cache_size')) / 1048576")) or 0
    return min(wanted_mb, max(_MIN_MB, int(cache_mb) // 2))


def parallel_workers(connection: Connection, rows: int, wanted: int | None) -> int:
    """Parallel workers of a build: as configured, at most what the server allows; none for a few rows."""
    if rows < _MIN_ROWS_FOR_WORKERS:
        return 0
    allowed, most = connection.execute(
        text(
            "SELECT current_setting('max_parallel_maintenance_workers')::int, "
            "least(current_setting('max_parallel_workers')::int, current_setting('max_worker_processes')::int)"
        )
    ).one()
    return int(min(allowed if wanted is None else wanted, most))
