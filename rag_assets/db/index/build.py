"""Builds the index of a space, from any state to valid: one builder at a time, while searches and writes continue."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from rag_assets.db.connections.retry import run_read
from rag_assets.db.index.build_errors import describe_build_error, is_transient, still_building_error
from rag_assets.db.index.build_session import Progress, ignore_progress, index_session
from rag_assets.db.index.state import (
    ACTIONS,
    DEFAULT_THRESHOLDS,
    IndexAction,
    IndexInfo,
    IndexState,
    IndexThresholds,
    inspect_index,
)
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import count_vectors
from rag_assets.errors import RagAssetsError
from rag_assets.settings.settings import Settings

# Returns the recall of searches through the index, or None if the space is empty.
MeasureRecall = Callable[[], float | None]

# Attempts of a build after transient errors: its backend was killed, the server restarted, a deadlock with other DDL, a
# cancelled statement.
_MAX_ATTEMPTS = 3
_POLL_S = 0.3
# How long a backend may take to stop a cancelled build, before its leftovers are removed.
_CLEANUP_S = 3


@dataclass(frozen=True, slots=True)
class IndexBuildOptions:
    """The limits of a build, and the thresholds that trigger one.

    With `recall`, which measures the recall of the present index, an index below the threshold is rebuilt. The recall
    of the new index is stored in its comment, so that it is not rebuilt again if that did not help.
    """

    memory_limit_mb: int = 2048
    wait_s: float = 600
    progress: Progress = ignore_progress
    workers: int | None = None
    nice: int = 10
    thresholds: IndexThresholds = DEFAULT_THRESHOLDS
    recall: MeasureRecall | None = None

    @classmethod
    def from_settings(
        cls, settings: Settings, progress: Progress, recall: MeasureRecall | None = None
    ) -> "IndexBuildOptions":
        return cls(
            memory_limit_mb=settings.index_build_memory_mb,
            wait_s=settings.lock_wait_s,
            progress=progress,
            workers=settings.index_build_workers,
            nice=settings.background_nice,
            thresholds=IndexThresholds(settings.index_dead_share_limit, settings.recall_limit),
            recall=recall,
        )


def ensure_index(engine: Engine, space: EmbeddingSpace, options: IndexBuildOptions = IndexBuildOptions()) -> IndexState:
    """Bring the index to the state valid, with the definition of the space; returns the state it was in before.

    Of two builders at once the second waits, and finds the work done. Raises ServiceError if another builder does not
    finish or a lock is not free within `wait_s`, or if the server has no space; the next call continues from there.
    """
    return _run_build(engine, space, options, force=False)


def rebuild_index(
    engine: Engine, space: EmbeddingSpace, options: IndexBuildOptions = IndexBuildOptions()
) -> IndexState:
    """Replace the index by a new one, even if it is valid; returns the state it was in before."""
    return _run_build(engine, space, options, force=True)


def _run_build(engine: Engine, space: EmbeddingSpace, options: IndexBuildOptions, *, force: bool) -> IndexState:
    first: IndexState | None = None
    attempts = 0
    while True:
        attempts += 1
        try:
            with hold_lock(engine, f"index of space {space.id}", wait_s=options.wait_s):
                found = _wait_for_builder(engine, space, options)
                first = first or found.state
                _apply(engine, space, options, found, force=force)
                return first
        except (DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if attempts == _MAX_ATTEMPTS or not is_transient(cause):
                described = describe_build_error(engine, space, cause, wait_s=options.wait_s)
                _clean_up(engine, space)
                raise described or error from error
        except Exception:
            raise
        except BaseException:
            # The run was interrupted. Clean up now: there may be no further run for a long time.
            _clean_up(engine, space)
            raise
        # Waits until the server answers again; raises ServiceError if it does not.
        run_read(engine, lambda connection: connection.scalar(select(1)))


def _wait_for_builder(engine: Engine, space: EmbeddingSpace, options: IndexBuildOptions) -> IndexInfo:
    """Inspect the index once no other backend builds it; a backend whose client is gone stops by itself."""
    end = time.monotonic() + options.wait_s
    while True:
        # In autocommit: measuring the recall takes seconds, and no transaction may be idle meanwhile.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            rows = count_vectors(connection, space)
            found = inspect_index(connection, space, rows=rows, thresholds=options.thresholds)
            if found.state is IndexState.VALID and options.recall is not None:
                recall = options.recall()
                found = inspect_index(connection, space, rows=rows, recall=recall, thresholds=options.thresholds)
        if ACTIONS[found.state] is not IndexAction.WAIT:
            return found
        if time.monotonic() > end:
            raise still_building_error(found, options.wait_s)
        time.sleep(_POLL_S)


def _apply(engine: Engine, space: EmbeddingSpace, options: IndexBuildOptions, found: IndexInfo, *, force: bool) -> None:
    action = ACTIONS[found.state]
    if force and action is IndexAction.NOTHING:
        action = IndexAction.REPLACE
    # An index that a backend is building is not a leftover.
    leftovers = () if found.builder else found.leftovers
    if action is IndexAction.NOTHING and not leftovers:
        return
    with index_session(engine, space, wait_s=options.wait_s) as session:
        # Drop by the names that were found on this table: another object may have the name of the index.
        if found.state is IndexState.INVALID:
            leftovers = (*leftovers, found.name)
        session.drop(*leftovers)
        if action is IndexAction.NOTHING:
            session.rename(found.name)
        else:
            replaced = found.name if action is IndexAction.REPLACE else None
            session.give_way(options.nice)
            session.build(
                replaced, memory_limit_mb=options.memory_limit_mb, wanted=options.workers, progress=options.progress
            )
    if action is not IndexAction.NOTHING and options.recall is not None:
        recall = options.recall()
        with index_session(engine, space, wait_s=options.wait_s) as session:
            session.store_recall(recall)


def _clean_up(engine: Engine, space: EmbeddingSpace) -> None:
    """Drop what a failed or interrupted build left, so that it does not occupy disk until the next run."""
    with (
        suppress(SQLAlchemyError, psycopg.Error, RagAssetsError),
        hold_lock(engine, f"index of space {space.id}", wait_s=_CLEANUP_S),
    ):
        end = time.monotonic() + _CLEANUP_S
        while (found := run_read(engine, inspect_index, space)).builder is not None and time.monotonic() < end:
            time.sleep(_POLL_S)
        invalid = (*found.leftovers, *([found.name] if found.state is IndexState.INVALID else []))
        if invalid and found.builder is None:
            with index_session(engine, space, wait_s=1) as session:
                session.drop(*invalid)
