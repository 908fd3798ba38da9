"""What the configured space would cost, worked out from what is in the database, without touching anything."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Engine,
    Exists,
    LargeBinary,
    bindparam,
    exists,
    func,
    select,
    true,
)
from sqlalchemy.orm import Session

from rag_assets.db.index.state import index_state
from rag_assets.db.models import SCHEMA, Document, DocumentChunk, Embedding, EmbeddingSpace
from rag_assets.db.reports.size_estimates import estimate_index_bytes, estimate_table_bytes
from rag_assets.db.reports.throughput import embedding_work, estimate_seconds, index_amount, index_work
from rag_assets.db.spaces.partitions import has_partition, partition_name
from rag_assets.db.spaces.pending import pending_documents
from rag_assets.db.spaces.spaces import SpaceDefinition, get_live_space
from rag_assets.db.spaces.text_kinds import Kind, TextSource, text_source
from rag_assets.documents.parsing.parser import is_current_reader
from rag_assets.documents.text import content_hash
from rag_assets.embedding.encoder import Encoder, token_batches
from rag_assets.pipeline.stages.vector_reuse import adoptable
from rag_assets.pipeline.target.chunking import splitter_of
from rag_assets.pipeline.target.wanted_space import Target, target_space
from rag_assets.settings.settings import Settings

# Of documents that are to be cut anew, so much is cut to see what comes of it: seconds, however many there are.
SAMPLE_BYTES = 4_000_000
CALIBRATION_TEXTS = 48
_COMPARED = (
    *("model", "revision", "dimensions", "prompts", "normalize", "distance"),
    *("method", "storage", "m", "ef_construction", "chunking_settings"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The cost of one kind of texts: `space` has their vectors then; None where it has not been begun.

    `changes` has what differs from the live space (None: as nothing serves yet). `texts` are all distinct ones,
    `texts_to_embed` those whose vectors can be taken over from no space. `estimated`: part of the documents were cut to
    see, or tokens go by the length of texts. `documents_to_read` are documents that another version of their parser
    read, which the next run reads again; the other figures are of the text that is stored. Minutes are None where no
    run has done the like; bytes are those of the space when it is complete, of which `bytes_there` lie there already.
    """

    kind: Kind
    live: int | None
    space: int | None
    changes: dict[str, dict[str, Any]]
    documents_to_read: int
    documents_to_cut: int
    texts: int
    texts_to_embed: int
    tokens_to_embed: int
    estimated: bool
    embedding_minutes: float | None
    index_minutes: float | None
    minutes: float | None
    table_bytes: int
    index_bytes: int
    bytes_there: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(
    engine: Engine,
    settings: Settings,
    kind: Kind = "chunks",
    *,
    calibrate: Callable[[EmbeddingSpace], Encoder] | None = None,
) -> Plan:
    """Compare the settings with the database; with `calibrate`, a model without a measured rate embeds a few texts."""
    target = target_space(settings, kind)
    with engine.connect().execution_options(postgresql_readonly=True) as connection:
        space, live = _known(connection, target.definition), get_live_space(connection, kind)
        stored, cut = text_source(space), _cut(kind, space.chunking)
        texts, new, tokens = _counted(connection, space, stored, cut)
        sample = _cut_some(connection, space, target, cut) if kind == "chunks" else _Sample()
        texts += round(sample.scale * len(sample.tokens))
        new += round(sample.scale * sample.without_vector)
        tokens += round(sample.scale * sample.tokens_without_vector)
        embedding_s = estimate_seconds(connection, embedding_work(space.model, space.revision), tokens)
        indexed = space.id is not None and not new and index_state(connection, space).serves
        index_s = estimate_seconds(connection, index_work(space), 0.0 if indexed else index_amount(space, texts))
        bytes_there = _bytes_there(connection, space)
        to_read = _documents_to_read(connection) if kind == "chunks" else 0
        some = sample.some or (_some_texts(connection, stored) if embedding_s is None else [])
    if embedding_s is None and some and calibrate is not None:
        embedding_s = tokens * _seconds_a_token(calibrate(space), some, settings.batch_tokens)
    return Plan(
        kind=kind,
        live=live.id if live else None,
        space=space.id,
        changes=_changes(live, target.definition),
        documents_to_read=to_read,
        documents_to_cut=sample.documents,
        texts=texts,
        texts_to_embed=new,
        tokens_to_embed=tokens,
        estimated=sample.scale != 1 or (kind != "chunks" and new > 0),
        embedding_minutes=_minutes(embedding_s),
        index_minutes=_minutes(index_s),
        minutes=None if embedding_s is None or index_s is None else _minutes(embedding_s + index_s),
        table_bytes=estimate_table_bytes(space.dimensions, texts),
        index_bytes=estimate_index_bytes(space, texts),
        bytes_there=bytes_there,
    )


def _known(connection: Connection, definition: SpaceDefinition) -> EmbeddingSpace:
    """The space of this definition as it is stored, or as it would be, without a number."""
    with Session(bind=connection, expire_on_commit=False) as session:
        found = session.scalar(select(EmbeddingSpace).where(EmbeddingSpace.fingerprint == definition.fingerprint))
    return found or EmbeddingSpace(**asdict(definition), status="building")


def _documents_to_read(connection: Connection) -> int:
    readers = connection.execute(
        select(Document.reader, func.count()).where(Document.reader.is_not(None)).group_by(Document.reader)
    )
    return sum(documents for reader, documents in readers if reader is not None and not is_current_reader(reader))


def _has_vector(connection: Connection, space: EmbeddingSpace, content_hash: Any) -> Exists:
    """Whether a text has a vector in the space, or in one that it can be taken over from."""
    sources = {space.id, *(other.id for other in adoptable(connection, space))} - {None}
    return exists().where(Embedding.space_id.in_(sources), Embedding.content_hash == content_hash)


def _cut(kind: Kind, chunking: str) -> ColumnElement[bool]:
    """Texts that stay as they are: those of documents that are to be cut are counted as what becomes of them."""
    if kind != "chunks":
        return true()
    pending = pending_documents(None, chunking).order_by(None).with_only_columns(Document.id)
    return DocumentChunk.document_id.not_in(pending)


def _counted(
    connection: Connection, space: EmbeddingSpace, texts: TextSource, cut: ColumnElement[bool]
) -> tuple[int, int, int]:
    """(distinct texts, those without a vector, tokens of these)."""
    each = (
        select(texts.content_hash.label("content_hash"), func.max(texts.token_count).label("tokens"))
        .where(texts.in_use, cut)
        .group_by(texts.content_hash)
        .cte("distinct_texts")
    )
    new = ~_has_vector(connection, space, each.c.content_hash)
    columns = (func.count(), func.count().filter(new), func.coalesce(func.sum(each.c.tokens).filter(new), 0))
    found, without_vector, tokens = connection.execute(select(*columns).select_from(each)).one()
    return found, without_vector, int(tokens)


@dataclass(frozen=True, slots=True)
class _Sample:
    """What documents would be cut into: tokens by hash; `scale`: how many times as much all of them would be."""

    documents: int = 0
    tokens: dict[bytes, int] = field(default_factory=dict)
    some: list[tuple[str, int]] = field(default_factory=list)
    without_vector: int = 0
    tokens_without_vector: int = 0
    scale: float = 1.0


def _cut_some(connection: Connection, space: EmbeddingSpace, target: Target, cut: ColumnElement[bool]) -> _Sample:
    """Cut documents that are to be cut, in the order of their ids, which is as good as chance, until it is enough."""
    pending = connection.execute(pending_documents(None, space.chunking)).all()
    if not pending:
        return _Sample()
    chosen, size_bytes = [], 0
    for id_, size in pending:
        chosen.append(id_)
        size_bytes += size
        if size_bytes >= SAMPLE_BYTES:
            break
    documents = connection.execute(
        select(Document.content, Document.file_type).where(Document.id.in_(chosen), Document.content.is_not(None))
    )
    pieces = splitter_of(space, target.model).split_all([(content or "", kind) for content, kind in documents])
    by_hash = {content_hash(piece.text): piece for pieces_ in pieces for piece in pieces_}
    tokens = {hash_: piece.token_count for hash_, piece in by_hash.items()}
    made = func.unnest(bindparam("hashes", list(tokens), ARRAY(LargeBinary))).column_valued("hash")
    counted = exists().where(DocumentChunk.content_hash == made, DocumentChunk.chunking == space.chunking, cut)
    found = connection.execute(select(made, _has_vector(connection, space, made)).where(~counted)).all()
    new = [hash_ for hash_, has_vector in found if not has_vector]
    return _Sample(
        documents=len(pending),
        tokens={hash_: tokens[hash_] for hash_, _ in found},
        some=[(by_hash[hash_].text, tokens[hash_]) for hash_ in sorted(new)[:CALIBRATION_TEXTS]],
        without_vector=len(new),
        tokens_without_vector=sum(tokens[hash_] for hash_ in new),
        scale=sum(size for _, size in pending) / max(1, size_bytes),
    )


def _bytes_there(connection: Connection, space: EmbeddingSpace) -> int:
    if space.id is None or not has_partition(connection, space.id):
        return 0
    table = func.to_regclass(f"{SCHEMA}.{partition_name(space.id)}")
    return connection.scalar(select(func.pg_total_relation_size(table))) or 0


def _some_texts(connection: Connection, texts: TextSource) -> list[tuple[str, int]]:
    """By hash, which is as good as chance."""
    some = select(texts.content, texts.token_count).where(texts.in_use).order_by(texts.content_hash)
    return [(content, tokens) for content, tokens in connection.execute(some.limit(CALIBRATION_TEXTS))]


def _seconds_a_token(encoder: Encoder, some: Sequence[tuple[str, int]], batch_tokens: int) -> float:
    texts = sorted(some, key=lambda one: -one[1])
    # The first text also pays for loading the model.
    encoder.encode([texts[-1][0]])
    started = time.perf_counter()
    for batch in token_batches([tokens for _, tokens in texts], batch_tokens):
        encoder.encode([text for text, _ in texts[batch]])
    return (time.perf_counter() - started) / max(1, sum(tokens for _, tokens in texts))


def _changes(live: EmbeddingSpace | None, wanted: SpaceDefinition) -> dict[str, dict[str, Any]]:
    pairs = {name: {"live": getattr(live, name, None), "wanted": getattr(wanted, name)} for name in _COMPARED}
    return {name: pair for name, pair in pairs.items() if pair["live"] != pair["wanted"]}


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 60, 2)
