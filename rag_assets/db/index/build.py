"""Builds the index of a space, from any state to valid: one builder at a time, while searches and writes continue."""

import time
from contextlib import suppress

import psycopg
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from rag_assets.db.connections.retry import run_read
from rag_assets.db.index.build_errors import describe_build_error, is_transient, still_building_error
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.build_parts import build_parts
from rag_assets.db.index.build_session import index_session
from rag_assets.db.index.state import ACTIONS, IndexAction, IndexInfo, IndexState, combine_parts, inspect_parts
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import table_names
from rag_assets.db.writes.kept_counts import count_space_vectors
from rag_assets.errors import RagAssetsError

_DEFAULT = IndexBuildOptions()
# Attempts of a build after transient errors: its backend was killed, the server restarted, a deadlock with other DDL, a
# cancelled statement.
_MAX_ATTEMPTS = 3
_POLL_S = 0.3
# How long a backend may take to stop a cancelled build, before its leftovers are removed.
_CLEANUP_S = 3


def ensure_index(engine: Engine, space: EmbeddingSpace, options: IndexBuildOptions = _DEFAULT) -> IndexState:
    """Bring the index to the state valid, with the definition of the space; returns the state it was in before.

    Of two builders at once the second waits, and finds the work done. Raises ServiceError if another builder does not
    finish or a lock is not free within `wait_s`, or if the server has no space; the next call continues from there.
    """
    return _run_build(engine, space, options, force=False)


def rebuild_index(engine: Engine, space: EmbeddingSpace, options: IndexBuildOptions = _DEFAULT) -> IndexState:
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
                first = first or combine_parts(space, found).state
                build_parts(engine, space, options, found, force=force)
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


def _wait_for_builder(engine: Engine, space: EmbeddingSpace, options: IndexBuildOptions) -> dict[str, IndexInfo]:
    """Inspect each part once no other backend builds one; a backend whose client is gone stops by itself."""
    end = time.monotonic() + options.wait_s
    while True:
        rows = count_space_vectors(engine, space)
        # In autocommit: measuring the recall takes seconds, and no transaction may be idle meanwhile.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            parts = inspect_parts(connection, space, rows=rows, thresholds=options.thresholds)
            if combine_parts(space, parts).state is IndexState.VALID and options.recall is not None:
                recall = options.recall()
                parts = inspect_parts(connection, space, rows=rows, recall=recall, thresholds=options.thresholds)
        found = combine_parts(space, parts)
        if ACTIONS[found.state] is not IndexAction.WAIT:
            return parts
        if time.monotonic() > end:
            raise still_building_error(found, options.wait_s)
        time.sleep(_POLL_S)


def _clean_up(engine: Engine, space: EmbeddingSpace) -> None:
    """Drop what a failed or interrupted build left, so that it does not occupy disk until the next run."""
    with (
        suppress(SQLAlchemyError, psycopg.Error, RagAssetsError),
        hold_lock(engine, f"index of space {space.id}", wait_s=_CLEANUP_S),
    ):
        end = time.monotonic() + _CLEANUP_S
        for name in table_names(space):
            while (found := run_read(engine, inspect_parts, space)[name]).builder and time.monotonic() < end:
                time.sleep(_POLL_S)
            invalid = (*found.leftovers, *([found.name] if found.state is IndexState.INVALID else []))
            if invalid and found.builder is None:
                with index_session(engine, space, name, wait_s=1) as session:
                    session.drop(*invalid)
