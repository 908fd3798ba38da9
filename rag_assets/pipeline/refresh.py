"""One function an asset: bring its table, index or pointer to what it should be, for some projects."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from sqlalchemy import Engine

from rag_assets.db.database import autocommit_connection
from rag_assets.db.models import EmbeddingSpace, Project
from rag_assets.db.schema.text_search import DEFAULT_LANGUAGE
from rag_assets.db.spaces.pending import days_with_texts
from rag_assets.db.spaces.registered_tables import check_table_exists
from rag_assets.documents.parsing.parser import Readers
from rag_assets.documents.sources import open_source
from rag_assets.documents.splitting.tokenizer import count_tokens
from rag_assets.embedding.encoder import Encoder
from rag_assets.embedding.long_texts import PiecewiseEncoder
from rag_assets.embedding.model import find_model
from rag_assets.pipeline.stages import live_space
from rag_assets.pipeline.stages.batches import ChunkBatch, DocumentBatch, EmbeddingBatch
from rag_assets.pipeline.stages.chunks import refresh_chunks
from rag_assets.pipeline.stages.documents import refresh_documents
from rag_assets.pipeline.stages.embeddings import refresh_embeddings
from rag_assets.pipeline.stages.index import refresh_indexes
from rag_assets.pipeline.stages.prefetch import when_stopped
from rag_assets.pipeline.stages.project_isolation import Apart, Failed
from rag_assets.pipeline.target.chunking import project_splitter, splitter_of, tokenizer_of
from rag_assets.pipeline.target.maintained_spaces import live_first, maintained
from rag_assets.pipeline.target.wanted_space import Target
from rag_assets.projects.settings import ProjectSettings, parse_project_settings
from rag_assets.projects.store import get_project
from rag_assets.settings.settings import Settings

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
        with closing(source):
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
    for space in maintained(engine, target):
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
    first, *_ = ordered = maintained(engine, target)
    for space in ordered:
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
    *_, first = ordered = live_first(engine, target)
    for space in ordered:
        with engine.connect() as connection:
            spoken = set(connection.scalars(days_with_texts(space, min(days), max(days))))
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
    for space in maintained(engine, target):
        with engine.connect() as connection:
            found = connection.scalars(days_with_texts(space, settings.messages_since, today, pending=True))
            days.update(found)
    return sorted(days)


def memory_embeddings(
    engine: Engine, settings: Settings, target: Target, encoder: MakeEncoder
) -> Iterator[EmbeddingBatch]:
    """Vectors of all memories in force; `target` is one of memories."""
    *_, first = ordered = live_first(engine, target)
    for space in ordered:
        batches = _whole_embeddings(engine, settings, space, encoder, key="")
        yield from batches if space is first else _beside(batches)


def table_embeddings(
    engine: Engine, settings: Settings, target: Target, encoder: MakeEncoder
) -> Iterator[EmbeddingBatch]:
    """Vectors of all rows in use of a registered table; `target` is one of its kind.

    Raises UsageError if the table does not exist.
    """
    with engine.connect() as connection:
        check_table_exists(connection, target.definition.kind)
    yield from memory_embeddings(engine, settings, target, encoder)


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
    """Make the index of every space in use valid, without what nothing points to; gives the wanted one's figures."""
    return refresh_indexes(engine, maintained(engine, target), settings)


def live(engine: Engine, settings: Settings, target: Target, encoder: MakeEncoder | None = None) -> dict[str, Any]:
    """Flip the pointer to the wanted space where it is not there yet, if that space passes all that guards it."""
    return live_space.serve(engine, settings, target.definition, encoder)


def _project(engine: Engine, name: str) -> tuple[Project, ProjectSettings]:
    with autocommit_connection(engine) as connection:
        project = get_project(connection, name)
    return project, parse_project_settings(name, project.settings)
