"""maintenance: remove expired and orphaned rows, vacuum, rebuild degraded indexes, prewarm them, check every row."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from rag_assets.db.connections.retry import run_repeatable
from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.prewarm import prewarm_index
from rag_assets.db.index.state import inspect_index
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.schema.vacuum import tables_to_vacuum, vacuum_tables
from rag_assets.db.spaces.partitions import count_vectors, has_partition, partition_name
from rag_assets.db.spaces.text_kinds import Kind, is_known_kind
from rag_assets.db.writes.check_progress import forget_progress, prune_changes
from rag_assets.db.writes.prune import prune_space
from rag_assets.embedding.model import find_space_model
from rag_assets.errors import ServiceError
from rag_assets.pipeline.audit import index_recall
from rag_assets.pipeline.audit.incremental import CHECKS_OF_RUNS, Reading, RowChecks
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.live_space import drop_expired_spaces
from rag_assets.pipeline.target.chunking import model_tokenizer
from rag_assets.pipeline.target.wanted_space import Target, current_space
from rag_assets.repositories.audit.entries import delete_old_entries
from rag_assets.repositories.operations import memories, sessions
from rag_assets.settings.settings import Settings

DAY_S = 24 * 60 * 60


def run_maintenance(engine: Engine, settings: Settings, targets: Mapping[Kind, Target]) -> dict[str, Any]:
    """Do the maintenance that is due, while searches and ingests go on; returns figures.

    A step whose connection breaks is repeated for RAG_ASSETS_RETRY_S.
    """
    started = time.perf_counter()
    figures: dict[str, Any] = run_repeatable(engine, _remove_expired, engine, settings)
    figures["spaces_dropped"] = run_repeatable(engine, _drop_expired_spaces, engine, settings, targets)
    spaces = run_repeatable(engine, _spaces_in_use, engine)
    removed = {space.id: run_repeatable(engine, _remove_orphans, engine, space) for space in spaces}
    figures["orphans_removed"] = sum(removed.values())
    # Before VACUUM, which would otherwise repair the graph of an index that is about to be replaced.
    figures["indexes"] = [
        run_repeatable(engine, _rebuild_index_if_degraded, engine, settings, space) for space in spaces
    ]
    # The server's statistics do not count the rows just deleted yet, so their tables are vacuumed in any case.
    emptied = {partition_name(id_) for id_, gone in removed.items() if gone}
    needy = sorted({*run_repeatable(engine, tables_to_vacuum, engine, settings.vacuum_dead_share_limit), *emptied})
    figures["vacuumed"] = run_repeatable(engine, vacuum_tables, engine, needy, wait_s=settings.lock_wait_s)
    figures["prewarmed_blocks"] = run_repeatable(engine, _prewarm, engine, spaces)
    live = [space for space in spaces if space.status == "live"]
    figures["failed_checks"] = run_repeatable(engine, _check_all_rows, engine, live)
    return figures | {"seconds": round(time.perf_counter() - started, 3)}


def _check_all_rows(engine: Engine, live: Sequence[EmbeddingSpace]) -> list[dict[str, str]]:
    """The checks that fail over all rows, with their reasons; they read all rows in the next run again, and fail.

    Checks of what a run makes, which may be under way, read all rows in the next run instead.
    """
    failed = []
    for space in live:
        rows = RowChecks(Reading(engine), space)
        results = {"vectors_are_sound": rows.vectors_are_sound()}
        if space.kind == "chunks":
            results["offsets_reproduce_text"] = rows.offsets_reproduce_text()
            # The model of a live space may be gone from this machine, while its vectors are still searched.
            with suppress(ServiceError):
                tokenizer = model_tokenizer(find_space_model(space))
                results["chunks_fit_window"] = rows.chunks_fit_window(tokenizer)
        failed += [
            {"check": f"{name} of {space.kind}", "reason": found.reason}
            for name, found in results.items()
            if not found.passed
        ]
    with engine.begin() as connection:
        forget_progress(connection, CHECKS_OF_RUNS)
        prune_changes(connection)
    return failed


def _remove_expired(engine: Engine, settings: Settings) -> dict[str, int]:
    kept_after_s = settings.expired_kept_days * DAY_S
    with engine.begin() as connection:
        delete_old_entries(connection, settings.audit_days)
        return {
            "sessions_removed": sessions.delete_expired(connection, kept_after_s=kept_after_s),
            "memories_forgotten": memories.expire(connection),
            "memories_removed": memories.delete_expired(connection, kept_after_s=kept_after_s),
        }


def _drop_expired_spaces(engine: Engine, settings: Settings, targets: Mapping[Kind, Target]) -> int:
    wanted = [current_space(engine, target.definition) for target in targets.values()]
    return sum(drop_expired_spaces(engine, settings, space) for space in wanted if space is not None)


def _spaces_in_use(engine: Engine) -> list[EmbeddingSpace]:
    with Session(engine, expire_on_commit=False) as session:
        in_use = select(EmbeddingSpace).where(EmbeddingSpace.status != "retired").order_by(EmbeddingSpace.id)
        found = session.scalars(in_use).all()
        # Without its table, all vectors of a space would count as orphans.
        known = [space for space in found if is_known_kind(space.kind)]
        return [space for space in known if has_partition(session.connection(), space.id)]


def _remove_orphans(engine: Engine, space: EmbeddingSpace) -> int:
    try:
        with hold_lock(engine, f"vectors of space {space.id}", wait_s=0):
            return prune_space(engine, space)
    except ServiceError:
        # A run is writing vectors; its index stage will remove the orphans.
        return 0


def _rebuild_index_if_degraded(engine: Engine, settings: Settings, space: EmbeddingSpace) -> dict[str, Any]:
    """Rebuild the index if its dead entries or its recall are beyond what the settings allow; returns what it found."""
    figures: dict[str, Any] = {"space": space.id, "status": space.status}
    if space.status == "building":
        # Its first index is built once it holds all of its vectors.
        return figures | {"found": None, "recall": None, "dead_share": None}
    recalls: list[float | None] = []

    def measure() -> float | None:
        recalls.append(index_recall.mean_recall(engine, space))
        return recalls[-1]

    building = IndexBuildOptions.from_settings(
        settings, lambda done, total: report_progress("maintenance", done, total, "blocks"), measure
    )
    with engine.connect() as connection:
        dead_share = inspect_index(connection, space, rows=count_vectors(connection, space)).dead_share
    found = ensure_index(engine, space, building)
    # The first recall is that of the index as it was found.
    return figures | {"found": found.value, "recall": recalls[0] if recalls else None, "dead_share": dead_share}


def _prewarm(engine: Engine, spaces: list[EmbeddingSpace]) -> int:
    with engine.begin() as connection:
        return sum(prewarm_index(connection, space, always=True) for space in spaces if space.status == "live")
