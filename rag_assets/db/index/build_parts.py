"""Builds what the tables of a space lack of their indexes: those of several parts at a time."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.build_session import IndexSession, index_session
from rag_assets.db.index.state import ACTIONS, IndexAction, IndexInfo, IndexState
from rag_assets.db.models import EmbeddingSpace


def build_parts(
    engine: Engine, space: EmbeddingSpace, options: IndexBuildOptions, found: Mapping[str, IndexInfo], *, force: bool
) -> None:
    """Bring the index of each table to the state valid; `force` replaces valid ones."""
    actions = {name: _action(part, force=force) for name, part in found.items()}
    # Indexes that a backend is building are no leftovers.
    due = [
        name
        for name, part in found.items()
        if actions[name] is not IndexAction.NOTHING or (part.leftovers and not part.builder)
    ]
    building = [name for name in due if actions[name] is not IndexAction.NOTHING]
    if not due:
        return
    with index_session(engine, space, wait_s=options.wait_s) as session:
        shares = session.plan_builds(len(building), memory_limit_mb=options.memory_limit_mb, wanted=options.workers)
    builds = _Builds(
        engine,
        space,
        replace(options, memory_limit_mb=shares.memory_limit_mb, workers=shares.workers),
        found,
        actions,
    )
    builds.run(due, shares.at_once)
    if not building:
        return
    with index_session(engine, space, wait_s=options.wait_s) as session:
        session.analyze()
    if options.recall is not None:
        recall = options.recall()
        for name in found:
            with index_session(engine, space, name, wait_s=options.wait_s) as session:
                session.store_recall(recall)


def _action(part: IndexInfo, *, force: bool) -> IndexAction:
    action = ACTIONS[part.state]
    return IndexAction.REPLACE if force and action is IndexAction.NOTHING else action


@dataclass(slots=True)
class _Builds:
    engine: Engine
    space: EmbeddingSpace
    options: IndexBuildOptions
    found: Mapping[str, IndexInfo]
    actions: Mapping[str, IndexAction]
    sessions: list[IndexSession] = field(default_factory=list)
    cancelled: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    blocks: dict[str, tuple[int, int]] = field(default_factory=dict)

    def run(self, names: list[str], at_once: int) -> None:
        """Build these; raises the first error, once none of them is running any more."""
        if at_once == 1:
            for name in names:
                self._build(name)
            return
        with ThreadPoolExecutor(at_once, thread_name_prefix="index-part") as pool:
            builds = [pool.submit(self._build, name) for name in names]
            try:
                wait(builds)
            except BaseException:
                # The run was interrupted: nobody waits for the builds.
                self._cancel()
                raise
        for build in builds:
            build.result()

    def _build(self, name: str) -> None:
        part, action = self.found[name], self.actions[name]
        leftovers = () if part.builder else part.leftovers
        with index_session(self.engine, self.space, name, wait_s=self.options.wait_s) as session:
            with self.lock:
                if self.cancelled:
                    return
                self.sessions.append(session)
            try:
                # Drop by the names that were found on this table: another object may have the name of the index.
                if part.state is IndexState.INVALID:
                    leftovers = (*leftovers, part.name)
                session.drop(*leftovers)
                if action is IndexAction.NOTHING:
                    session.rename(part.name)
                    return
                session.give_way(self.options.nice)
                session.build(
                    part.name if action is IndexAction.REPLACE else None,
                    memory_limit_mb=self.options.memory_limit_mb,
                    wanted=self.options.workers,
                    progress=lambda done, total: self._report(name, done, total),
                )
            finally:
                with self.lock:
                    self.sessions.remove(session)

    def _report(self, name: str, done: int, total: int) -> None:
        with self.lock:
            self.blocks[name] = done, total
            done, total = (sum(numbers) for numbers in zip(*self.blocks.values(), strict=True))
            self.options.progress(done, total)

    def _cancel(self) -> None:
        with self.lock:
            self.cancelled = True
            for session in self.sessions:
                with suppress(SQLAlchemyError, psycopg.Error):
                    session.cancel()
