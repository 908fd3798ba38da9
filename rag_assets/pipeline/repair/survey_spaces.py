"""Spaces by what their tables hold: vectors against texts, the index, the pointer, the columns of their own rows."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

from sqlalchemy import Engine, func, select

from rag_assets.db.index.build import IndexBuildOptions, ensure_index
from rag_assets.db.index.build_session import ignore_progress
from rag_assets.db.index.state import IndexState, inspect_index
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.spaces.checksums import is_unsound
from rag_assets.db.spaces.partitions import has_partition, partition
from rag_assets.db.spaces.pending import count_pending_texts, has_text_in_use
from rag_assets.db.spaces.spaces import SpaceDefinition, get_live_space
from rag_assets.db.spaces.text_kinds import Kind
from rag_assets.db.writes.invalidate import delete_unsound_vectors, restore_space_columns
from rag_assets.pipeline.audit import index_recall
from rag_assets.pipeline.repair.damage import Damage
from rag_assets.settings.settings import Settings


def survey_space(engine: Engine, settings: Settings, space: EmbeddingSpace, kind: Kind) -> Iterator[Damage]:
    where = f"space {space.id}"
    with engine.connect() as connection:
        there = has_partition(connection, space.id)
    if not there:
        yield Damage(kind, "partition_missing", where, 0)
        return
    vectors = partition(space.id)
    with engine.connect() as connection:
        missing = connection.scalar(count_pending_texts(space)) or 0
        altered = connection.scalar(select(func.count()).select_from(vectors).where(is_unsound(space, vectors))) or 0
        orphans = (
            connection.scalar(
                select(func.count()).select_from(vectors).where(~has_text_in_use(space, vectors.c.content_hash))
            )
            or 0
        )
    if missing:
        yield Damage(kind, "texts_without_vector", where, missing)
    if altered:
        void = partial(_delete_unsound, engine, settings, space)
        yield Damage(kind, "vectors_altered", where, altered, void=void)
    if orphans:
        yield Damage(kind, "orphan_vectors", where, orphans)
    # What it finds of half the vectors, or of wrong ones, says nothing of the index.
    yield from survey_index(engine, settings, space, kind, measured=not (missing or altered or orphans))


def survey_settings(engine: Engine, space: EmbeddingSpace, wanted: SpaceDefinition, kind: Kind) -> Iterator[Damage]:
    """Columns of the space's row that are not what it was made with, or was tuned to."""
    right: dict[str, Any] = {}
    if space.fingerprint == wanted.fingerprint:
        right = {name: value for name, value in asdict(wanted).items() if getattr(space, name) != value}
    least = index_recall.least_ef_search(space)
    if space.ef_search < least:
        right["ef_search"] = least
    if right:
        shown = [f"{name}: {getattr(space, name)}, not {value}" for name, value in right.items()]
        void = partial(_put_right, engine, space.id, right)
        yield Damage(kind, "space_altered", f"space {space.id}", len(right), shown, void=void)


def survey_pointer(engine: Engine, kind: Kind) -> Iterator[Damage]:
    """No space is live, or the view for other clients is gone."""
    with engine.connect() as connection:
        if get_live_space(connection, kind) is None:
            yield Damage(kind, "no_live_space", kind, 1)
        elif kind == "chunks" and connection.scalar(select(func.to_regclass(f"{SCHEMA}.live_chunks"))) is None:
            yield Damage(kind, "view_missing", f"{SCHEMA}.live_chunks", 1)


def survey_index(
    engine: Engine, settings: Settings, space: EmbeddingSpace, kind: Kind, *, measured: bool
) -> Iterator[Damage]:
    """An index in any state but valid; `measured`: also by what it finds, which takes a comparison of all vectors."""
    building = IndexBuildOptions.from_settings(
        settings, ignore_progress, partial(index_recall.mean_recall, engine, space)
    )
    found = index_recall.mean_recall(engine, space) if measured else None
    with engine.connect() as connection:
        index = inspect_index(connection, space, recall=found, thresholds=building.thresholds)
    if index.state is IndexState.VALID and not index.leftovers:
        return
    examples = [index.state.value, *(f"left over: {name}" for name in index.leftovers)]
    # Runs look at all but index_recall, which takes too long for them.
    void = partial(ensure_index, engine, space, building) if index.state is IndexState.DEGRADED else None
    yield Damage(kind, "index", f"space {space.id}", len(examples), examples, void=void)


def _delete_unsound(engine: Engine, settings: Settings, space: EmbeddingSpace) -> None:
    with hold_lock(engine, f"vectors of space {space.id}", wait_s=settings.lock_wait_s), engine.begin() as connection:
        delete_unsound_vectors(connection, space)


def _put_right(engine: Engine, space_id: int, values: dict[str, Any]) -> None:
    with engine.begin() as connection:
        restore_space_columns(connection, space_id, values)
