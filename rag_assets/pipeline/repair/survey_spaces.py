"""Compare spaces with what they should be: vectors with texts, the index, the live space, the space's own row."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

from sqlalchemy import Engine, func, select

from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.build_session import ignore_progress
from rag_assets.db.index.state import IndexState, inspect_index
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.spaces.checksums import is_unsound
from rag_assets.db.spaces.partitions import has_all_tables, partition
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
        exists = has_all_tables(connection, space)
    if not exists:
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
        invalidate = partial(_delete_unsound, engine, settings, space)
        yield Damage(kind, "vectors_altered", where, altered, invalidate=invalidate)
    if orphans:
        yield Damage(kind, "orphan_vectors", where, orphans)
    # The recall over incomplete or wrong vectors says nothing about the index.
    yield from survey_index(engine, settings, space, kind, measure_recall=not (missing or altered or orphans))


def survey_settings(engine: Engine, space: EmbeddingSpace, wanted: SpaceDefinition, kind: Kind) -> Iterator[Damage]:
    """Columns of the space's row that differ from its definition, or from what tuning measured."""
    right: dict[str, Any] = {}
    if space.fingerprint == wanted.fingerprint:
        right = {name: value for name, value in asdict(wanted).items() if getattr(space, name) != value}
    sufficient = index_recall.sufficient_ef_search(space)
    if space.ef_search < sufficient:
        right["ef_search"] = sufficient
    if right:
        examples = [f"{name}: {getattr(space, name)}, not {value}" for name, value in right.items()]
        invalidate = partial(_restore_columns, engine, space.id, right)
        yield Damage(kind, "space_altered", f"space {space.id}", len(right), examples, invalidate=invalidate)


def survey_live_space(engine: Engine, kind: Kind) -> Iterator[Damage]:
    """Whether a space is live, and whether the view for other clients exists."""
    with engine.connect() as connection:
        if get_live_space(connection, kind) is None:
            yield Damage(kind, "no_live_space", kind, 1)
        elif kind == "chunks" and connection.scalar(select(func.to_regclass(f"{SCHEMA}.live_chunks"))) is None:
            yield Damage(kind, "view_missing", f"{SCHEMA}.live_chunks", 1)


def survey_index(
    engine: Engine, settings: Settings, space: EmbeddingSpace, kind: Kind, *, measure_recall: bool
) -> Iterator[Damage]:
    """An index in any state but valid. `measure_recall` compares its results with an exact scan, which takes longer."""
    building = IndexBuildOptions.from_settings(
        settings, ignore_progress, partial(index_recall.mean_recall, engine, space)
    )
    recall = index_recall.mean_recall(engine, space) if measure_recall else None
    with engine.connect() as connection:
        index = inspect_index(connection, space, recall=recall, thresholds=building.thresholds)
    if index.state is IndexState.VALID and not index.leftovers:
        return
    examples = [index.state.value, *(f"left over: {name}" for name in index.leftovers)]
    # The next run repairs every other state by itself; it does not measure recall, which takes too long for a run.
    rebuild = partial(ensure_index, engine, space, building) if index.state is IndexState.DEGRADED else None
    yield Damage(kind, "index", f"space {space.id}", len(examples), examples, invalidate=rebuild)


def _delete_unsound(engine: Engine, settings: Settings, space: EmbeddingSpace) -> None:
    with hold_lock(engine, f"vectors of space {space.id}", wait_s=settings.lock_wait_s), engine.begin() as connection:
        delete_unsound_vectors(connection, space)


def _restore_columns(engine: Engine, space_id: int, values: dict[str, Any]) -> None:
    with engine.begin() as connection:
        restore_space_columns(connection, space_id, values)
