"""hnsw_index: one valid index on the vectors of each maintained space, and no orphan vectors."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine

from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.pending_entries import merge_pending_entries
from rag_assets.db.index.prewarm import prewarm_index
from rag_assets.db.index.state import IndexState, index_bytes
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.reports.remaining_work import remaining_work
from rag_assets.db.reports.throughput import index_amount, index_work, record_throughput
from rag_assets.db.spaces.partitions import partition_name
from rag_assets.db.writes.kept_counts import count_space_vectors
from rag_assets.db.writes.prune import prune_space
from rag_assets.db.writes.word_statistics import refresh_word_statistics
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.target.maintained_spaces import maintained_spaces
from rag_assets.pipeline.target.wanted_space import Target
from rag_assets.settings.settings import Settings
from rag_assets.tracing import span


def refresh_indexes(engine: Engine, settings: Settings, target: Target) -> dict[str, Any]:
    """Remove each maintained space's orphan vectors, then make its index valid; returns the wanted space's figures."""
    with span("hnsw_index"):
        return _refresh_indexes(engine, settings, target)


def _refresh_indexes(engine: Engine, settings: Settings, target: Target) -> dict[str, Any]:
    started = time.perf_counter()
    maintained = maintained_spaces(engine, target)
    figures: dict[str, Any] = {}
    merge_pending_entries(engine)
    # The wanted space stands first and is done last, so that the figures are its own.
    for space in reversed(maintained):
        figures = _refresh_index(engine, settings, space)
    if len(maintained) > 1:
        figures["spaces"] = _work_left(engine, maintained)
    return figures | {"seconds": round(time.perf_counter() - started, 3)}


def _refresh_index(engine: Engine, settings: Settings, space: EmbeddingSpace) -> dict[str, Any]:
    with hold_lock(engine, f"vectors of space {space.id}", wait_s=settings.lock_wait_s):
        removed = prune_space(engine, space)
    if space.kind == "chunks":
        refresh_word_statistics(engine, space.chunking)
    building = IndexBuildOptions.from_settings(
        settings, lambda done, total: report_progress("hnsw_index", done, total, "blocks")
    )
    began = time.perf_counter()
    found = ensure_index(engine, space, building)
    build_s = time.perf_counter() - began
    vectors = count_space_vectors(engine, space)
    with engine.begin() as connection:
        if found is not IndexState.VALID and vectors:
            record_throughput(connection, index_work(space), index_amount(space, vectors), build_s)
        prewarm_index(connection, space, always=found is not IndexState.VALID)
        return {
            "space": space.id,
            "index_found": found.value,
            "index_bytes": index_bytes(connection, space),
            "dagster/row_count": vectors,
            "vectors": vectors,
            "table": partition_name(space.id),
            "orphans_removed": removed,
        }


def _work_left(engine: Engine, maintained: Sequence[EmbeddingSpace]) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [
            {"space": space.id, "status": space.status, "model": space.model}
            | asdict(remaining_work(connection, space))
            for space in maintained
        ]
