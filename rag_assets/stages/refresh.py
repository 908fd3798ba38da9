"""One function an asset: bring its table, index or pointer to what it should be, for some projects."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from sqlalchemy import Engine

from rag_assets.db import spaces
from rag_assets.db.index_build import Building, ensure_index
from rag_assets.db.index_states import IndexState, index_bytes
from rag_assets.db.languages import DEFAULT_LANGUAGE
from rag_assets.db.left import work_left
from rag_assets.db.locks import exclusively
from rag_assets.db.models import EmbeddingSpace, Project
from rag_assets.db.pending import days_of_texts
from rag_assets.db.prewarm import prewarm_index
from rag_assets.db.projects import get_project
from rag_assets.db.prune import prune
from rag_assets.db.rates import index_amount, index_work, note_rate
from rag_assets.db.words import refresh_words
from rag_assets.embedding.encoder import Encoder
from rag_assets.embedding.model import find_model
from rag_assets.embedding.pieces import PiecewiseEncoder
from rag_assets.errors import ServiceError
from rag_assets.progress import report
from rag_assets.project_settings import ProjectSettings, project_settings
from rag_assets.settings import Settings
from rag_assets.sources import open_source
from rag_assets.stages import flip
from rag_assets.stages.apart import Apart, Failed
from rag_assets.stages.batches import ChunkBatch, DocumentBatch, EmbeddingBatch
from rag_assets.stages.chunks import refresh_chunks
from rag_assets.stages.documents import refresh_documents
from rag_assets.stages.embeddings import refresh_embeddings
from rag_assets.stages.prefetch import when_stopped
from rag_assets.stages.target import Target, project_splitter, splitter_of, tokenizer_of
from rag_assets.text.readers import Readers
from rag_assets.text.tokens import count_tokens

_log = logging.getLogger(__name__)

MakeEncoder = Callable[[EmbeddingSpace], Encoder]


def documents(
    engine: Engine,
    settings: Settings,
    projects: Sequence[str],
    *,
    confirm_deletions: bool = False,
    retry_failed: bool = False,
) -> Iterator[DocumentBatch | Failed]:
    max_bytes = settings.max_document_mb * 1024 * 1024

    def of_project(name: str) -> Iterator[DocumentBatch]:
        project, own = _project(engine, name)
        source = open_source(
            project.source_uri,
            include=own.include,
            exclude=[*own.exclude, *own.forgotten],
            max_bytes=max_bytes,
            state_dir=settings.state_dir,
        )
        yield from refresh_documents(
            engine,
            project=name,
            project_id=project.id,
            source=source,
            readers=readers,
            workers=settings.parse_workers,
            wait_s=settings.lock_wait_s,
            confirm_deletions=confirm_deletions,
            retry_failed=retry_failed,
        )

    with (
        Readers(
            timeout_s=settings.parse_timeout_s,
            memory_mb=settings.parse_memory_mb,
            max_bytes=max_bytes,
            workers=settings.parse_workers,
        ) as readers,
        when_stopped(readers.close),
    ):
        yield from Apart(engine, projects).each(of_project)


def chunks(
    engine: Engine, settings: Settings, projects: Sequence[str], target: Target, run_id: str | None = None
) -> Iterator[ChunkBatch | Failed]:
    apart = Apart(engine, projects, run_id)
    yield from apart.left_behind()
    for space in _maintained(engine, target):
        yield from apart.each(partial(_chunks_of, engine, settings, space))


def _chunks_of(engine: Engine, settings: Settings, space: EmbeddingSpace, name: str) -> Iterator[ChunkBatch]:
    return chunks_of_space(engine, settings, [name], space)


def chunks_of_space(
    engine: Engine, settings: Settings, projects: Sequence[str], space: EmbeddingSpace, *, everything: bool = False
) -> Iterator[ChunkBatch]:
    """Of documents that are to be cut for this space; with `everything`, of all, so that they can be compared."""
    model = find_model(space.model, space.revision)
    for name in projects:
        project, own = _project(engine, name)
        yield from refresh_chunks(
            engine,
            project=name,
            project_id=project.id,
            language=own.language or DEFAULT_LANGUAGE,
            chunking=space.chunking,
            splitter=project_splitter(space, model, name, own),
            chunk_tokens=own.chunk_tokens,
            overlap_tokens=own.overlap_tokens,
            wait_s=settings.lock_wait_s,
            everything=everything,
        )


def embeddings(
    engine: Engine,
    settings: Settings,
    projects: Sequence[str],
    target: Target,
    encoder: MakeEncoder,
    run_id: str | None = None,
) -> Iterator[EmbeddingBatch | Failed]:
    apart = Apart(engine, projects, run_id)
    yield from apart.left_behind()
    first, *_ = maintained = _maintained(engine, target)
    for space in maintained:
        yield from apart.each(partial(_embeddings_of, engine, settings, space, encoder, space is not first))


def _embeddings_of(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: MakeEncoder, beside: bool, name: str
) -> Iterator[EmbeddingBatch]:
    project, _ = _project(engine, name)
    batches = refresh_embeddings(
        engine,
        key=name,
        project_id=project.id,
        space=space,
        encoder=encoder(space),
        batch_tokens=settings.batch_tokens,
        wait_s=settings.lock_wait_s,
    )
    yield from _beside(batches) if beside else batches


def message_embeddings(
    engine: Engine, settings: Settings, days: Sequence[date], target: Target, encoder: MakeEncoder
) -> Iterator[EmbeddingBatch]:
    """Vectors of the messages that were made on these days, by UTC; `target` is one of messages."""
    *_, first = ordered = _live_first(engine, target)
    for space in ordered:
        with engine.connect() as connection:
            spoken = set(connection.scalars(days_of_texts(space, min(days), max(days))))
        for day in days:
            key = day.isoformat()
            if day in spoken:
                batches = _whole_embeddings(engine, settings, space, encoder, key, day)
                yield from batches if space is first else _beside(batches)
            else:
                yield EmbeddingBatch(key, space.id, figures={"distinct": 0, "reused": 0, "embedded": 0, "tokens": 0})


def pending_days(engine: Engine, settings: Settings, target: Target) -> list[date]:
    """The days from the first partition to today (UTC) with messages that have no vector yet, in their order."""
    today = datetime.now(UTC).date()
    days: set[date] = set()
    for space in _maintained(engine, target):
        with engine.connect() as connection:
            found = connection.scalars(days_of_texts(space, settings.messages_since, today, pending=True))
            days.update(found)
    return sorted(days)


def memory_embeddings(
    engine: Engine, settings: Settings, target: Target, encoder: MakeEncoder
) -> Iterator[EmbeddingBatch]:
    """Vectors of all memories in force; `target` is one of memories."""
    *_, first = ordered = _live_first(engine, target)
    for space in ordered:
        batches = _whole_embeddings(engine, settings, space, encoder, key="")
        yield from batches if space is first else _beside(batches)


def _beside(batches: Iterator[EmbeddingBatch]) -> Iterator[EmbeddingBatch]:
    """Batches of a space beside the one that is to serve, whose texts are not to be counted twice."""
    for batch in batches:
        figures = {name: value for name, value in batch.figures.items() if name not in ("distinct", "reused")}
        if "embedded" in figures:
            figures["embedded_beside"] = figures.pop("embedded")
        yield replace(batch, figures=figures)


def _whole_embeddings(
    engine: Engine,
    settings: Settings,
    space: EmbeddingSpace,
    encoder: MakeEncoder,
    key: str,
    day: date | None = None,
) -> Iterator[EmbeddingBatch]:
    model = find_model(space.model, space.revision)
    yield from refresh_embeddings(
        engine,
        key=key,
        day=day,
        space=space,
        encoder=PiecewiseEncoder(
            encoder(space),
            splitter_of(space, model),
            batch_tokens=settings.batch_tokens,
            normalize=space.normalize,
        ),
        count_tokens=partial(count_tokens, tokenizer_of(model)),
        batch_tokens=settings.batch_tokens,
        wait_s=settings.lock_wait_s,
    )


def index(engine: Engine, settings: Settings, target: Target) -> dict[str, Any]:
    """Remove orphans, then make the index of every space in use valid; gives the wanted one's figures."""
    started = time.perf_counter()
    figures: dict[str, Any] = {}
    maintained = _maintained(engine, target)
    for space in reversed(maintained):
        with exclusively(engine, f"vectors of space {space.id}", wait_s=settings.lock_wait_s):
            removed = prune(engine, space)
        if space.kind == "chunks":
            refresh_words(engine, space.chunking)
        building = Building.of(settings, lambda done, total: report("hnsw_index", done, total, "blocks"))
        began = time.perf_counter()
        found = ensure_index(engine, space, building)
        build_s = time.perf_counter() - began
        with engine.begin() as connection:
            vectors = spaces.count_vectors(connection, space)
            if found is not IndexState.VALID and vectors:
                note_rate(connection, index_work(space), index_amount(space, vectors), build_s)
            prewarm_index(connection, space, always=found is not IndexState.VALID)
            figures = {
                "space": space.id,
                "index_found": found.value,
                "index_bytes": index_bytes(connection, space),
                "dagster/row_count": vectors,
                "vectors": vectors,
                "table": spaces.partition_name(space.id),
                "orphans_removed": removed,
            }
    if len(maintained) > 1:
        figures["spaces"] = _work_left(engine, maintained)
    return figures | {"seconds": round(time.perf_counter() - started, 3)}


def _work_left(engine: Engine, maintained: Sequence[EmbeddingSpace]) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [
            {"space": space.id, "status": space.status, "model": space.model} | asdict(work_left(connection, space))
            for space in maintained
        ]


def live(engine: Engine, settings: Settings, target: Target, encoder: MakeEncoder | None = None) -> dict[str, Any]:
    """Flip the pointer to the wanted space where it is not there yet, if that space passes all that guards it."""
    return flip.serve(engine, settings, target.definition, encoder)


def _project(engine: Engine, name: str) -> tuple[Project, ProjectSettings]:
    with engine.connect() as connection:
        project = get_project(connection, name)
    return project, project_settings(name, project.settings)


def _live_first(engine: Engine, target: Target) -> Sequence[EmbeddingSpace]:
    """What comes in between is then in the wanted space alone, and does not keep it from taking over."""
    return _maintained(engine, target)[::-1]


def _maintained(engine: Engine, target: Target) -> Sequence[EmbeddingSpace]:
    """The space that is to serve, then those beside it: the live one until the flip, the previous one while it is kept.

    One beside it whose model is no longer to be had stays as it is: that must not keep the other from taking its place.
    """
    with engine.begin() as connection:
        first, *beside = spaces.spaces_to_maintain(connection, target.definition)
    return [first, *(space for space in beside if _model_is_there(space))]


def _model_is_there(space: EmbeddingSpace) -> bool:
    try:
        find_model(space.model, space.revision)
    except ServiceError as error:
        _log.warning("the %s space %s is not kept up to date: %s", space.status, space.id, error)
        return False
    return True
