"""The way from whatever index a space has to a valid one: one builder at a time, searches and writes going on."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from rag_assets.db.connections.retry import reading
from rag_assets.db.index.build_errors import builder_goes_on, explained, is_passing
from rag_assets.db.index.build_session import Progress, index_session, unwatched
from rag_assets.db.index.state import DEFAULT_THRESHOLDS, TRANSITIONS, Examined, IndexState, Thresholds, Way, examine
from rag_assets.db.locks import exclusively
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.spaces import count_vectors
from rag_assets.errors import RagAssetsError
from rag_assets.settings.settings import Settings

# Gives the recall of searches through the index, None where there is nothing to search.
Measure = Callable[[], float | None]

# How often a build is begun anew after what passes: its backend killed, the server restarted, a deadlock with somebody
# else's DDL, a statement cancelled.
_TRIES = 3
_LOOK_S = 0.3
# How long a backend may take to give up a build that was cancelled, before what it leaves is removed.
_TIDY_S = 3


@dataclass(frozen=True, slots=True)
class Building:
    """What a build may take, and what asks for one.

    With `recall`, which measures that of the index as it stands, one that finds too little is built anew too; what the
    new one finds is noted with it, so that none is built again where that does not help.
    """

    memory_limit_mb: int = 2048
    wait_s: float = 600
    progress: Progress = unwatched
    workers: int | None = None
    thresholds: Thresholds = DEFAULT_THRESHOLDS
    recall: Measure | None = None

    @classmethod
    def of(cls, settings: Settings, progress: Progress, recall: Measure | None = None) -> "Building":
        return cls(
            memory_limit_mb=settings.index_build_memory_mb,
            wait_s=settings.lock_wait_s,
            progress=progress,
            workers=settings.index_build_workers,
            thresholds=Thresholds(settings.index_dead_share_limit, settings.recall_limit),
            recall=recall,
        )


def ensure_index(engine: Engine, space: EmbeddingSpace, building: Building = Building()) -> IndexState:
    """Make the index be there, valid and as wanted; returns the state that was found first.

    Two builders take turns: the second finds the work done. Raises ServiceError where another one does not end, where
    a lock is not to be had within `wait_s`, or the server has no room; the next call goes on from what that left.
    """
    return _carry_through(engine, space, building, anyway=False)


def rebuild_index(engine: Engine, space: EmbeddingSpace, building: Building = Building()) -> IndexState:
    """Build another index in place of the one that is there, also of a valid one; returns the state that was found."""
    return _carry_through(engine, space, building, anyway=True)


def _carry_through(engine: Engine, space: EmbeddingSpace, building: Building, *, anyway: bool) -> IndexState:
    first: IndexState | None = None
    tries = 0
    while True:
        tries += 1
        try:
            with exclusively(engine, f"index of space {space.id}", wait_s=building.wait_s):
                found = _settled(engine, space, building)
                first = first or found.state
                _follow(engine, space, building, found, anyway=anyway)
                return first
        except (DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if tries == _TRIES or not is_passing(cause):
                said = explained(engine, space, cause, wait_s=building.wait_s)
                _tidy(engine, space)
                raise said or error from error
        except Exception:
            raise
        except BaseException:
            # The run was ended: not by what happened to the build, and nobody may come by again.
            _tidy(engine, space)
            raise
        # Until the server answers again, or a ServiceError says that it does not.
        reading(engine, lambda connection: connection.scalar(select(1)))


def _settled(engine: Engine, space: EmbeddingSpace, building: Building) -> Examined:
    """What is found once nobody else builds; a backend whose client is gone notices that by itself."""
    end = time.monotonic() + building.wait_s
    while True:
        with engine.connect() as connection:
            rows = count_vectors(connection, space)
            found = examine(connection, space, rows=rows, thresholds=building.thresholds)
            if found.state is IndexState.VALID and building.recall is not None:
                recall = building.recall()
                found = examine(connection, space, rows=rows, recall=recall, thresholds=building.thresholds)
        if TRANSITIONS[found.state] is not Way.WAIT:
            return found
        if time.monotonic() > end:
            raise builder_goes_on(found, building.wait_s)
        time.sleep(_LOOK_S)


def _follow(engine: Engine, space: EmbeddingSpace, building: Building, found: Examined, *, anyway: bool) -> None:
    way = TRANSITIONS[found.state]
    if anyway and way is Way.NOTHING:
        way = Way.REPLACE
    # What somebody builds just now is not left over.
    leftovers = () if found.builder else found.leftovers
    if way is Way.NOTHING and not leftovers:
        return
    with index_session(engine, space, wait_s=building.wait_s) as session:
        # By their names as they were found on this very table: something else may be called like the index.
        if found.state is IndexState.INVALID:
            leftovers = (*leftovers, found.name)
        session.drop(*leftovers)
        if way is Way.NOTHING:
            session.rename(found.name)
        else:
            replaced = found.name if way is Way.REPLACE else None
            session.build(
                replaced, memory_limit_mb=building.memory_limit_mb, wanted=building.workers, progress=building.progress
            )
    if way is not Way.NOTHING and building.recall is not None:
        recall = building.recall()
        with index_session(engine, space, wait_s=building.wait_s) as session:
            session.note(recall)


def _tidy(engine: Engine, space: EmbeddingSpace) -> None:
    """Give back the room that a build took which is not to go on: nothing else may come by for a long time."""
    with (
        suppress(SQLAlchemyError, psycopg.Error, RagAssetsError),
        exclusively(engine, f"index of space {space.id}", wait_s=_TIDY_S),
    ):
        end = time.monotonic() + _TIDY_S
        while (found := reading(engine, examine, space)).builder is not None and time.monotonic() < end:
            time.sleep(_LOOK_S)
        invalid = (*found.leftovers, *([found.name] if found.state is IndexState.INVALID else []))
        if invalid and found.builder is None:
            with index_session(engine, space, wait_s=1) as session:
                session.drop(*invalid)
