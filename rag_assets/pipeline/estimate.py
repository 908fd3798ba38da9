"""What the configured space would cost: an estimate from what the database holds, which changes nothing."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Engine,
    Exists,
    LargeBinary,
    and_,
    bindparam,
    exists,
    false,
    func,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import Session

from rag_assets.db.index.build_resources import build_memory_mb, memory_limit_mb, parts_for
from rag_assets.db.index.state import index_state
from rag_assets.db.models import Document, Embedding, EmbeddingSpace, StagedDocument
from rag_assets.db.reports.costs import spent_this_month
from rag_assets.db.reports.size_estimates import estimate_index_bytes, estimate_table_bytes
from rag_assets.db.reports.throughput import embedding_work, estimate_seconds, index_amount, index_work
from rag_assets.db.spaces.partitions import partition_bytes
from rag_assets.db.spaces.pending import pending_documents, pending_staged_documents
from rag_assets.db.spaces.remote_batches import is_in_batch
from rag_assets.db.spaces.spaces import SpaceDefinition, get_live_space
from rag_assets.db.spaces.text_kinds import ALL_CHUNKS, Kind, TextSource, text_source
from rag_assets.documents.parsing.parser import is_current_reader
from rag_assets.documents.personal_data.step import PersonalDataStep
from rag_assets.documents.text import content_hash
from rag_assets.embedding.batches import token_batches
from rag_assets.embedding.encoder import Encoder, get_batch_limits
from rag_assets.pipeline.stages.documents.stage import personal_data_step
from rag_assets.pipeline.stages.vectors.budget import cost_of
from rag_assets.pipeline.stages.vectors.vector_reuse import reusable_spaces
from rag_assets.pipeline.target.chunking import space_splitter
from rag_assets.pipeline.target.wanted_space import Target, target_space
from rag_assets.settings.settings import Settings

# Of the documents that would be split again, so many bytes are split to count their chunks; that takes seconds.
SAMPLE_BYTES = 4_000_000
CALIBRATION_TEXTS = 48
_OF_MONEY = ("cost", "spent_this_month")
_OF_BATCHES = ("texts_in_batches",)
_OF_PARTS = ("parts", "recommended_parts", "build_memory_mb")
_COMPARED = (
    *("model", "revision", "dimensions", "prompts", "normalize", "distance"),
    *("method", "storage", "parts", "m", "ef_construction", "chunking_settings"),
)


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """The cost of embedding one kind of texts as the settings ask; the fields are the keys of `rag-assets plan --json`.

    `live` and `space` are the numbers of the live and of the wanted space, None while they do not exist. `changes` has
    what differs between them. `texts` counts all distinct texts, `texts_to_embed` those whose vectors no space has, and
    that do not wait in a batch at an embedding server, as `texts_in_batches` do.
    `estimated` says that only a part of the documents was split, or that tokens were derived from lengths of texts.
    Minutes are None when no run has measured that work, and `cost` is None where RAG_ASSETS_EMBEDDING_PRICE does not
    name the model; `spent_this_month` is what all runs have cost since the first of the month (UTC). Bytes are those of
    the complete space; `bytes_there` of them exist already. `documents_to_read` were read by another version of their
    parser, and the next run reads them again; the other figures are of the text that is stored.
    One graph over all texts needs `build_memory_mb` to be built; in `recommended_parts`, each of them fits.
    """

    kind: Kind
    live: int | None
    space: int | None
    changes: dict[str, dict[str, Any]]
    documents_to_read: int
    documents_to_cut: int
    texts: int
    texts_to_embed: int
    texts_in_batches: int
    tokens_to_embed: int
    estimated: bool
    embedding_minutes: float | None
    index_minutes: float | None
    minutes: float | None
    cost: float | None
    spent_this_month: float
    table_bytes: int
    index_bytes: int
    bytes_there: int
    parts: int
    recommended_parts: int
    build_memory_mb: int

    def as_json(self) -> dict[str, Any]:
        """The fields; those of money only with a price, those of batches and of parts only where there are some."""
        left_out = {
            *(_OF_MONEY if self.cost is None else ()),
            *(() if self.texts_in_batches else _OF_BATCHES),
            *(() if self.divides else _OF_PARTS),
        }
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    @property
    def divides(self) -> bool:
        """Whether the index has several parts, or should have."""
        return max(self.parts, self.recommended_parts) > 1


def estimate_cost(
    engine: Engine,
    settings: Settings,
    kind: Kind = "chunks",
    *,
    calibrate: Callable[[EmbeddingSpace], Encoder] | None = None,
) -> CostEstimate:
    """Compare the settings with the database; with `calibrate`, a model without a measured rate embeds a few texts."""
    target = target_space(settings, kind)
    with engine.connect().execution_options(postgresql_readonly=True) as connection:
        space, live = _wanted_space(connection, target.definition), get_live_space(connection, kind)
        stored, unchanged = text_source(space), _of_unchanged_documents(kind, space.chunking)
        texts, new, tokens, in_batches = _count_stored(connection, space, stored, unchanged)
        sample = _split_sample(connection, space, target, stored, unchanged) if kind == "chunks" else _Sample()
        texts += round(sample.scale * len(sample.tokens))
        new += round(sample.scale * sample.without_vector)
        tokens += round(sample.scale * sample.tokens_without_vector)
        embedding_s = estimate_seconds(connection, embedding_work(space.model, space.revision), tokens)
        indexed = space.id is not None and not new and index_state(connection, space).serves
        index_s = estimate_seconds(connection, index_work(space), 0.0 if indexed else index_amount(space, texts))
        bytes_there = _bytes_there(connection, space)
        memory_mb = memory_limit_mb(connection, settings.index_build_memory_mb)
        spent = spent_this_month(connection)
        to_read = _documents_to_read(connection, personal_data_step(settings)) if kind == "chunks" else 0
        examples = sample.examples or (_example_texts(connection, stored) if embedding_s is None else [])
    price = settings.price_of(space.model, in_batch=settings.embedding_batch and kind == "chunks")
    if embedding_s is None and examples and calibrate is not None:
        embedding_s = tokens * _seconds_per_token(calibrate(space), examples, settings.batch_tokens)
    return CostEstimate(
        kind=kind,
        live=live.id if live else None,
        space=space.id,
        changes=_changes(live, target.definition),
        documents_to_read=to_read,
        documents_to_cut=sample.documents,
        texts=texts,
        texts_to_embed=new,
        texts_in_batches=in_batches,
        tokens_to_embed=tokens,
        estimated=sample.scale != 1 or (kind != "chunks" and new > 0),
        embedding_minutes=_minutes(embedding_s),
        index_minutes=_minutes(index_s),
        minutes=None if embedding_s is None or index_s is None else _minutes(embedding_s + index_s),
        cost=cost_of(tokens, price),
        spent_this_month=spent,
        table_bytes=estimate_table_bytes(space.dimensions, texts),
        index_bytes=estimate_index_bytes(space, texts),
        bytes_there=bytes_there,
        parts=space.parts,
        recommended_parts=parts_for(space, texts, memory_mb),
        build_memory_mb=build_memory_mb(space, texts),
    )


def _wanted_space(connection: Connection, definition: SpaceDefinition) -> EmbeddingSpace:
    """The stored space of this definition, or an unsaved one without a number."""
    with Session(bind=connection, expire_on_commit=False) as session:
        found = session.scalar(select(EmbeddingSpace).where(EmbeddingSpace.fingerprint == definition.fingerprint))
    return found or EmbeddingSpace(**asdict(definition), status="building")


def _documents_to_read(connection: Connection, personal_data: PersonalDataStep) -> int:
    readers = connection.execute(
        select(Document.reader, func.count()).where(Document.reader.is_not(None)).group_by(Document.reader)
    )
    return sum(
        documents
        for reader, documents in readers
        if reader is not None and not (is_current_reader(reader) and personal_data.is_current(reader))
    )


def _has_vector(connection: Connection, space: EmbeddingSpace, content_hash: Any) -> Exists:
    """Whether a text has a vector in the space, or in one that the space can copy it from."""
    sources = {space.id, *(other.id for other in reusable_spaces(connection, space))} - {None}
    return exists().where(Embedding.space_id.in_(sources), Embedding.content_hash == content_hash)


def _of_unchanged_documents(kind: Kind, chunking: str) -> ColumnElement[bool]:
    """The texts that stay: chunks of documents that will be split again are counted from the sample instead."""
    if kind != "chunks":
        return true()
    pending = (
        select_pending(None, chunking).order_by(None).with_only_columns(Document.id)
        for select_pending in (pending_documents, pending_staged_documents)
    )
    return ALL_CHUNKS.c.document_id.not_in(union_all(*pending))


def _count_stored(
    connection: Connection, space: EmbeddingSpace, texts: TextSource, unchanged: ColumnElement[bool]
) -> tuple[int, int, int, int]:
    """(distinct texts, how many of them have no vector, the tokens of those, how many wait in batches)."""
    each = (
        select(texts.content_hash.label("content_hash"), func.max(texts.token_count).label("tokens"))
        .where(texts.in_use, unchanged)
        .group_by(texts.content_hash)
        .cte("distinct_texts")
    )
    waits = is_in_batch(space, each.c.content_hash) if space.id is not None else false()
    missing = ~_has_vector(connection, space, each.c.content_hash)
    new = and_(missing, ~waits)
    columns = (
        func.count(),
        func.count().filter(new),
        func.coalesce(func.sum(each.c.tokens).filter(new), 0),
        func.count().filter(and_(missing, waits)),
    )
    found, without_vector, tokens, in_batches = connection.execute(select(*columns).select_from(each)).one()
    return found, without_vector, int(tokens), in_batches


@dataclass(frozen=True, slots=True)
class _Sample:
    """What splitting pending documents gives: tokens by hash; `scale` extrapolates to all pending documents."""

    documents: int = 0
    tokens: dict[bytes, int] = field(default_factory=dict)
    examples: list[tuple[str, int]] = field(default_factory=list)
    without_vector: int = 0
    tokens_without_vector: int = 0
    scale: float = 1.0


def _split_sample(
    connection: Connection, space: EmbeddingSpace, target: Target, texts: TextSource, unchanged: ColumnElement[bool]
) -> _Sample:
    """Split pending documents up to SAMPLE_BYTES, in the order of their ids, which are hashes and so a random order."""
    # The next version of a document is the one that is embedded.
    pending: dict[UUID, tuple[int, Any]] = {}
    for version, select_pending in ((Document, pending_documents), (StagedDocument, pending_staged_documents)):
        sizes = connection.execute(select_pending(None, space.chunking))
        pending |= {id_: (size, version) for id_, size in sizes}
    if not pending:
        return _Sample()
    sampled: dict[Any, list[UUID]] = {Document: [], StagedDocument: []}
    size_bytes = 0
    for id_, (size, version) in sorted(pending.items(), key=lambda item: item[0]):
        sampled[version].append(id_)
        size_bytes += size
        if size_bytes >= SAMPLE_BYTES:
            break
    documents = [
        row
        for version, ids in sampled.items()
        for row in connection.execute(
            select(version.content, version.file_type).where(version.id.in_(ids), version.content.is_not(None))
        )
    ]
    pieces = space_splitter(space, target.model).split_all([(content or "", kind) for content, kind in documents])
    by_hash = {content_hash(piece.embedded_text): piece for pieces_ in pieces for piece in pieces_}
    tokens = {hash_: piece.token_count for hash_, piece in by_hash.items()}
    hashes = func.unnest(bindparam("hashes", list(tokens), ARRAY(LargeBinary))).column_valued("hash")
    counted = exists().where(texts.content_hash == hashes, texts.in_use, unchanged)
    found = connection.execute(select(hashes, _has_vector(connection, space, hashes)).where(~counted)).all()
    new = [hash_ for hash_, has_vector in found if not has_vector]
    return _Sample(
        documents=len(pending),
        tokens={hash_: tokens[hash_] for hash_, _ in found},
        examples=[(by_hash[hash_].embedded_text, tokens[hash_]) for hash_ in sorted(new)[:CALIBRATION_TEXTS]],
        without_vector=len(new),
        tokens_without_vector=sum(tokens[hash_] for hash_ in new),
        scale=sum(size for size, _ in pending.values()) / max(1, size_bytes),
    )


def _bytes_there(connection: Connection, space: EmbeddingSpace) -> int:
    return 0 if space.id is None else partition_bytes(connection, space.id)


def _example_texts(connection: Connection, texts: TextSource) -> list[tuple[str, int]]:
    """TextSource with their tokens, in the order of their hashes, which is a random order."""
    statement = select(texts.content, texts.token_count).where(texts.in_use).order_by(texts.content_hash)
    return [(content, tokens) for content, tokens in connection.execute(statement.limit(CALIBRATION_TEXTS))]


def _seconds_per_token(encoder: Encoder, examples: Sequence[tuple[str, int]], batch_tokens: int) -> float:
    texts = sorted(examples, key=lambda text: -text[1])
    # Untimed: the first text loads the model.
    encoder.encode([texts[-1][0]])
    started = time.perf_counter()
    limits = get_batch_limits(encoder, batch_tokens)
    for batch in token_batches([tokens for _, tokens in texts], limits.tokens, limits.texts):
        encoder.encode([text for text, _ in texts[batch]])
    return (time.perf_counter() - started) / max(1, sum(tokens for _, tokens in texts))


def _changes(live: EmbeddingSpace | None, wanted: SpaceDefinition) -> dict[str, dict[str, Any]]:
    pairs = {name: {"live": getattr(live, name, None), "wanted": getattr(wanted, name)} for name in _COMPARED}
    return {name: pair for name, pair in pairs.items() if pair["live"] != pair["wanted"]}


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 60, 2)
