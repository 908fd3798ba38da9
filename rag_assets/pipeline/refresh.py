"""One function for each asset that writes rows: bring its table up to date, for some projects or days."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.pending import days_with_texts, staged_document_ids
from rag_assets.db.spaces.registered_tables import check_table_exists
from rag_assets.db.writes.publishing import MOST_DOCUMENTS
from rag_assets.documents.parsing.parser import DocumentParser
from rag_assets.documents.shards import split_key
from rag_assets.documents.sources import Source, open_source
from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.splitting.tokenizer import count_tokens
from rag_assets.embedding.long_texts import PiecewiseEncoder
from rag_assets.embedding.model import find_space_model
from rag_assets.pipeline.stages.batches import (
    ChunkBatch,
    DocumentBatch,
    EmbeddingBatch,
    FailedProject,
    Publication,
)
from rag_assets.pipeline.stages.chunks import split_documents
from rag_assets.pipeline.stages.documents import ListingUse, read_documents
from rag_assets.pipeline.stages.prefetch import on_stop
from rag_assets.pipeline.stages.project_isolation import IsolatedProjects, LoadedProject
from rag_assets.pipeline.stages.vectors.embeddings import embed_texts
from rag_assets.pipeline.stages.vectors.other_servers import (
    allow_missing_server,
    check_same_vectors,
    is_by_other_server,
)
from rag_assets.pipeline.stages.vectors.source_vectors import take_source_vectors
from rag_assets.pipeline.stages.vectors.text_slices import TextSlice
from rag_assets.pipeline.target.chunking import model_tokenizer, space_splitter
from rag_assets.pipeline.target.maintained_spaces import maintained_spaces, maintained_spaces_wanted_last
from rag_assets.pipeline.target.wanted_space import Target
from rag_assets.settings.settings import Settings
from rag_assets.tracing import traced_stage

if TYPE_CHECKING:
    from rag_assets.search.execution.query_embedding import MakeEncoder


@traced_stage("raw_documents")
def refresh_documents(
    engine: Engine,
    settings: Settings,
    projects: Sequence[str],
    *,
    confirm_deletions: bool = False,
    retry_failed: bool = False,
    sources: "Mapping[str, Callable[[Selection, int | None], Source]] | None" = None,
    run_id: str | None = None,
    backfill: str | None = None,
) -> Iterator[DocumentBatch | FailedProject]:
    """`projects` are partition keys; the shards of a run, or of a `backfill` of many runs, share one listing."""
    max_bytes = settings.max_document_mb * 1024 * 1024
    wanted_by = backfill or run_id or str(uuid4())
    last_keys = {split_key(key)[0]: key for key in projects}

    def read_project(project: LoadedProject) -> Iterator[DocumentBatch]:
        exclude = [*project.settings.exclude, *project.settings.forgotten]
        open_own = (sources or {}).get(project.name)
        source = (
            open_own(Selection(project.settings.include, exclude), max_bytes)
            if open_own
            else open_source(
                project.source_uri,
                include=project.settings.include,
                exclude=exclude,
                max_bytes=max_bytes,
                state_dir=settings.state_dir,
                follow_links=settings.follow_links,
                project=project.name,
            )
        )
        with closing(source):
            yield from read_documents(
                engine,
                settings,
                project,
                source,
                parser,
                confirm_deletions=confirm_deletions,
                retry_failed=retry_failed,
                listing=ListingUse(wanted_by, last=not backfill and last_keys[project.name] == project.key),
            )

    with (
        DocumentParser(
            timeout_s=settings.parse_timeout_s,
            memory_mb=settings.parse_memory_mb,
            max_bytes=max_bytes,
            workers=settings.parse_workers,
        ) as parser,
        on_stop(parser.close),
    ):
        yield from IsolatedProjects(engine, projects).run_each(read_project)


@traced_stage("chunks")
def refresh_chunks(
    engine: Engine, settings: Settings, projects: Sequence[str], target: Target, run_id: str | None = None
) -> Iterator[ChunkBatch | FailedProject]:
    isolated = IsolatedProjects(engine, projects, run_id)
    yield from isolated.exclude_failed_upstream()
    for space in maintained_spaces(engine, target):
        yield from isolated.run_each(partial(split_documents, engine, settings, space))


@traced_stage("embeddings")
def refresh_embeddings(
    engine: Engine,
    settings: Settings,
    projects: Sequence[str],
    target: Target,
    encoder: "MakeEncoder",
    run_id: str | None = None,
) -> Iterator[EmbeddingBatch | FailedProject]:
    isolated = IsolatedProjects(engine, projects, run_id)
    yield from isolated.exclude_failed_upstream()
    spaces = maintained_spaces(engine, target)
    refused: set[UUID] = set()
    for space in spaces:
        embed = _embed_by_other_server if is_by_other_server(space, spaces[0]) else _embed_project
        of_space = partial(embed, engine, settings, space, encoder, run_id)
        if space is spaces[0]:
            # The vectors of a source were made by one model: that of the settings.
            of_space = partial(_take_and_embed, engine, settings, space, of_space)
        is_last = space is spaces[-1]
        batches = isolated.run_each(partial(_embed_and_publish, engine, space, of_space, refused, is_last=is_last))
        yield from batches if space is spaces[0] else _as_other_space(batches)


def _take_and_embed(
    engine: Engine,
    settings: Settings,
    space: EmbeddingSpace,
    embed: Callable[[LoadedProject], Iterator[EmbeddingBatch]],
    project: LoadedProject,
) -> Iterator[EmbeddingBatch]:
    yield from take_source_vectors(engine, settings, space, project)
    yield from embed(project)


def _embed_project(
    engine: Engine,
    settings: Settings,
    space: EmbeddingSpace,
    encoder: "MakeEncoder",
    run_id: str | None,
    project: LoadedProject,
    *,
    proved: bool = True,
) -> Iterator[EmbeddingBatch]:
    texts, own = TextSlice(project.key, project.id, shard=project.shard), encoder(space)
    check = None if proved else partial(check_same_vectors, engine, space, own)
    return embed_texts(engine, settings, space, texts, own, run_id=run_id, check_encoder=check)


def _embed_and_publish(
    engine: Engine,
    space: EmbeddingSpace,
    embed: Callable[[LoadedProject], Iterator[EmbeddingBatch]],
    refused: set[UUID],
    project: LoadedProject,
    *,
    is_last: bool,
) -> Iterator[EmbeddingBatch]:
    """Vectors of the project's texts in one space; after the last one, publish what is complete in the live space.

    `refused` collects the projects of which the live space's model has refused texts, although it works.
    """
    try:
        for batch in embed(project):
            if batch.has_refused and space.status == "live":
                refused.add(project.id)
            yield batch
    except Exception:
        # A model that fails in the previous space does not hold back what the live one has.
        if is_last:
            yield from _publish_project(engine, space, project, without_refused=project.id in refused)
        raise
    if is_last:
        yield from _publish_project(engine, space, project, without_refused=project.id in refused)


def _publish_project(
    engine: Engine, space: EmbeddingSpace, project: LoadedProject, *, without_refused: bool
) -> Iterator[EmbeddingBatch]:
    # This generator runs one batch ahead: once this empty batch has been taken, the last vectors are committed.
    yield EmbeddingBatch(project.key, space.id)
    with engine.connect() as connection:
        staged = connection.scalars(staged_document_ids(project.id, project.shard)).all()
    for start in range(0, len(staged), MOST_DOCUMENTS):
        part = staged[start : start + MOST_DOCUMENTS]
        yield EmbeddingBatch(project.key, space.id, publish=Publication(part, without_refused))


def _embed_by_other_server(
    engine: Engine,
    settings: Settings,
    space: EmbeddingSpace,
    encoder: "MakeEncoder",
    run_id: str | None,
    project: LoadedProject,
) -> Iterator[EmbeddingBatch]:
    with allow_missing_server(space):
        yield from _embed_project(engine, settings, space, encoder, run_id, project, proved=False)


@traced_stage("message_embeddings")
def refresh_message_embeddings(
    engine: Engine,
    settings: Settings,
    days: Sequence[date],
    target: Target,
    encoder: "MakeEncoder",
    run_id: str | None = None,
) -> Iterator[EmbeddingBatch | FailedProject]:
    """Vectors of the messages that were made on these days (UTC); `target` is that of messages."""
    *_, wanted = spaces = maintained_spaces_wanted_last(engine, target)
    for space in spaces:
        with engine.connect() as connection:
            days_with_messages = set(connection.scalars(days_with_texts(space, min(days), max(days))))
        for day in days:
            key = day.isoformat()
            if day in days_with_messages:
                texts = TextSlice(key, day=day)
                yield from _embed_whole_texts(engine, settings, space, texts, encoder, run_id, wanted)
            else:
                yield EmbeddingBatch(key, space.id, figures={"distinct": 0, "reused": 0, "embedded": 0, "tokens": 0})


def pending_days(engine: Engine, settings: Settings, target: Target) -> list[date]:
    """The days (UTC), in order, from the first partition to today with messages that have no vector yet."""
    today = datetime.now(UTC).date()
    days: set[date] = set()
    for space in maintained_spaces(engine, target):
        with engine.connect() as connection:
            found = connection.scalars(days_with_texts(space, settings.messages_since, today, pending=True))
            days.update(found)
    return sorted(days)


@traced_stage("memory_embeddings")
def refresh_memory_embeddings(
    engine: Engine, settings: Settings, target: Target, encoder: "MakeEncoder", run_id: str | None = None
) -> Iterator[EmbeddingBatch | FailedProject]:
    """Vectors of all memories that are neither forgotten nor expired; `target` is that of memories."""
    *_, wanted = spaces = maintained_spaces_wanted_last(engine, target)
    for space in spaces:
        texts = TextSlice()
        yield from _embed_whole_texts(engine, settings, space, texts, encoder, run_id, wanted)


@traced_stage("registered_table_embeddings")
def refresh_registered_table_embeddings(
    engine: Engine, settings: Settings, target: Target, encoder: "MakeEncoder", run_id: str | None = None
) -> Iterator[EmbeddingBatch | FailedProject]:
    """Vectors of all rows in use of a registered table; `target` is that of its kind.

    Raises UsageError if the table does not exist.
    """
    with engine.connect() as connection:
        check_table_exists(connection, target.definition.kind)
    yield from refresh_memory_embeddings(engine, settings, target, encoder, run_id)


def _embed_whole_texts(
    engine: Engine,
    settings: Settings,
    space: EmbeddingSpace,
    texts: TextSlice,
    encoder: "MakeEncoder",
    run_id: str | None,
    wanted: EmbeddingSpace,
) -> Iterator[EmbeddingBatch | FailedProject]:
    if not is_by_other_server(space, wanted):
        batches = _embed_pieces(engine, settings, space, texts, encoder, run_id)
        yield from batches if space is wanted else _as_other_space(batches)
        return
    with allow_missing_server(space):
        yield from _as_other_space(_embed_pieces(engine, settings, space, texts, encoder, run_id, proved=False))


def _embed_pieces(
    engine: Engine,
    settings: Settings,
    space: EmbeddingSpace,
    texts: TextSlice,
    encoder: "MakeEncoder",
    run_id: str | None,
    *,
    proved: bool = True,
) -> Iterator[EmbeddingBatch]:
    model = find_space_model(space)
    piecewise = PiecewiseEncoder(
        encoder(space),
        space_splitter(space, model),
        batch_tokens=settings.batch_tokens,
        normalize=space.normalize,
    )
    counter = partial(count_tokens, model_tokenizer(model))
    check = None if proved else partial(check_same_vectors, engine, space, piecewise)
    return embed_texts(engine, settings, space, texts, piecewise, counter, run_id, check)


def _as_other_space(
    batches: Iterator[EmbeddingBatch] | Iterator[EmbeddingBatch | FailedProject],
) -> Iterator[EmbeddingBatch | FailedProject]:
    """Batches of a space beside the wanted one: their texts must not be counted twice in the figures."""
    for batch in batches:
        if isinstance(batch, FailedProject):
            yield batch
            continue
        figures = {name: value for name, value in batch.figures.items() if name not in ("distinct", "reused")}
        if "embedded" in figures:
            figures["embedded_in_other_spaces"] = figures.pop("embedded")
        yield replace(batch, figures=figures)
