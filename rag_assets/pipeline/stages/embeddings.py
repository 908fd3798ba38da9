"""embeddings: a vector for each distinct text that has none in a space."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy import Engine, exists, select

from rag_assets.db.connections.execute import held_pages
from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingFailure, EmbeddingSpace
from rag_assets.db.reports.throughput import embedding_work
from rag_assets.db.spaces.pending import (
    count_pending_texts,
    count_texts,
    pending_texts,
    staged_document_ids,
)
from rag_assets.db.spaces.remote_batches import is_in_batch
from rag_assets.db.spaces.shards import ProjectShard
from rag_assets.db.writes.claims import TextClaims, claims_of, release_dead_claims
from rag_assets.db.writes.kept_counts import count_project_texts
from rag_assets.db.writes.publishing import publish_documents
from rag_assets.db.writes.rows import EmbeddingCostRow, EmbeddingFailureRow, EmbeddingRow
from rag_assets.documents.shards import WHOLE, Shard, split_key
from rag_assets.embedding.batches import PartlyEncodedError, token_batches
from rag_assets.embedding.encoder import Encoder, get_batch_limits
from rag_assets.embedding.faults import describe_fault, is_fault, withhold_words
from rag_assets.embedding.remote.encoder import RemoteEncoder
from rag_assets.errors import BusyError, RagAssetsError, ServiceError
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.batches import EmbeddingBatch
from rag_assets.pipeline.stages.budget import Budget
from rag_assets.pipeline.stages.remote_batches.fetch import FetchOutcome, fetch_batches
from rag_assets.pipeline.stages.remote_batches.submit import BatchSubmission, uses_batches
from rag_assets.pipeline.stages.vector_faults import vector_fault
from rag_assets.pipeline.stages.vector_reuse import reuse_vectors
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAGE_TEXTS = 2_000
# Claimed in one go, since a claim costs three statements; of few texts less, so that others find some to embed.
CLAIMED_BATCHES = 8
SHARES = 16
MOST_FAULTS_IN_A_ROW = 100
# Between two looks at the texts that others embed.
_WAIT_S = 0.1

# Content hash, text, tokens.
Text = tuple[bytes, str, int]
CountTokens = Callable[[Sequence[str]], Sequence[int]]

# Embedded to tell a model that fails from a text that it refuses; never stored.
_PROBE: Text = (b"", "a text", 2)


@dataclass(frozen=True, slots=True)
class TextSlice:
    """The texts of a project or shard, of a day (UTC), or, with neither, all texts of the kind; `key` names it."""

    key: str = ""
    project_id: UUID | None = None
    day: date | None = None
    shard: Shard = WHOLE


def embed_texts(
    engine: Engine,
    settings: Settings,
    space: EmbeddingSpace,
    texts: TextSlice,
    encoder: Encoder,
    count_tokens: CountTokens | None = None,
    run_id: str | None = None,
    check_encoder: Callable[[], None] | None = None,
) -> Iterator[EmbeddingBatch]:
    """Stream vectors for the slice's texts that have none in this space; does not load the model when there are none.

    Without `count_tokens`, texts are batched by the token counts that are stored with them.
    Stops, with the reason in its last batch, where a budget of the settings is spent; `run_id` is that of the budget.
    `check_encoder` is called before the first text is embedded.
    Raises ServiceError when the model fails on one text after another, or on every text of the slice.
    """
    key, wait_s = texts.key, settings.lock_wait_s
    token = f"embedder {uuid4()}"
    # Both are shared: others embed side by side, each the texts that it claims, but never while the project is renamed
    # or deleted, or orphan vectors are being removed.
    with (
        hold_lock(
            engine,
            f"embeddings of {split_key(key)[0] or space.kind} in space {space.id}",
            wait_s=wait_s,
            shared=True,
            token=token,
        ),
        hold_lock(engine, f"vectors of space {space.id}", wait_s=wait_s, shared=True),
    ):
        # This generator runs one batch ahead: the last batch of the previous project or space may still be being
        # written. Once this empty batch has been taken, it is committed, and the table says what is still pending.
        yield EmbeddingBatch(key, space.id)
        outcome = FetchOutcome()
        if isinstance(encoder, RemoteEncoder):
            yield from fetch_batches(engine, settings, space, encoder, key, outcome)
            if outcome.fetched:
                yield EmbeddingBatch(key, space.id)
        of_slice = (texts.project_id, texts.day, texts.shard)
        with autocommit_connection(engine) as connection:
            release_dead_claims(connection)
        distinct, pending = _count(engine, space, texts)
        # Usually nothing is pending, and the other spaces need not be queried.
        if pending:
            with engine.begin() as connection:
                reuse_vectors(connection, space, pending_texts(space, *of_slice))
                if texts.project_id is not None:
                    staged = staged_document_ids(texts.project_id, texts.shard)
                    publish_documents(connection, connection.scalars(staged).all())
                pending = connection.scalar(count_pending_texts(space, *of_slice)) or 0
        figures: dict[str, float] = {
            "distinct": distinct,
            "reused": max(0, distinct - pending - outcome.fetched),
            "embedded": 0,
            "tokens": 0,
        }
        yield EmbeddingBatch(key, space.id, figures=figures)
        for failure in outcome.failures:
            raise failure
        if not pending:
            return
        if check_encoder is not None:
            check_encoder()
        claims = claims_of(engine, space, token)
        in_batches = uses_batches(settings, space, encoder)
        if in_batches and not outcome.queue_is_full:
            assert isinstance(encoder, RemoteEncoder)
            of_batches = Budget(engine, settings, space, encoder, run_id, in_batch=True)
            submission = BatchSubmission(engine, settings, space, encoder, key, claims, of_batches, run_id)
            yield from submission.submit(_pending_pages(engine, space, texts, refused_before=False))
            if submission.is_paused:
                left = pending - submission.submitted
                yield EmbeddingBatch(key, space.id, cost=of_batches.pause(left), figures={"paused": 1})
                return
        budget = Budget(engine, settings, space, encoder, run_id)
        done = faults = 0
        refused: list[Text] = []
        tokens = seconds = 0.0
        # What a batch has refused is asked for at once, where the server says why, and halves of it are tried.
        only_refused = True if in_batches else None
        for chosen in _claimed_batches(
            engine, settings, space, texts, encoder, claims, refused, count_tokens, only_refused
        ):
            if not chosen:
                # All that others do not embed is done: what is still theirs is committed by them.
                yield EmbeddingBatch(key, space.id)
                continue
            affordable = budget.affordable([tokens for _, _, tokens in chosen])
            part = chosen[:affordable]
            if part:
                batch, stopped = _embed(key, space, encoder, part)
                batch.cost = budget.bill(int(batch.figures["tokens"]))
                batch.figures |= _cost_figures(batch.cost)
                failed = {fault.content_hash for fault in batch.faults}
                refused += [text for text in part if text[0] in failed]
                if done:
                    # The first batch is left out of the rate: it also loads the model.
                    tokens += batch.figures["tokens"]
                    seconds += batch.figures["model_s"]
                done += len(part)
                faults = 0 if batch.rows else faults + len(batch.faults)
                report_progress("embeddings", done, pending, "texts")
                yield batch
                if stopped is not None:
                    raise stopped
            if affordable < len(chosen):
                yield EmbeddingBatch(key, space.id, cost=budget.pause(pending - done), figures={"paused": 1})
                return
            # Texts that the model refuses are set aside; a model that refuses all of them is itself broken.
            if faults >= MOST_FAULTS_IN_A_ROW or (faults == pending == distinct):
                raise ServiceError(
                    f"the model {space.model} failed on {faults} texts one after another, the last time with: "
                    f"{batch.faults[-1].error}; fix the model, then run again."
                )
        if done:
            # Once this empty batch has been taken, the last vectors are committed, and nobody embeds them again.
            yield EmbeddingBatch(key, space.id)
            claims.release()
        again = refused[:MOST_FAULTS_IN_A_ROW] if texts.project_id is not None else []
        token_counts = [text[2] for text in (*again, _PROBE)]
        if again and budget.affordable(token_counts) == len(token_counts):
            batch, stopped = _embed_again(key, space, encoder, again)
            batch.cost = budget.bill(sum(token_counts))
            batch.figures |= _cost_figures(batch.cost)
            yield batch
            if stopped is not None:
                raise stopped
        if tokens:
            work = embedding_work(space.model, space.revision)
            yield EmbeddingBatch(key, space.id, throughput=(work, tokens, seconds))


def _count(engine: Engine, space: EmbeddingSpace, texts: TextSlice) -> tuple[int, int]:
    """The number of distinct texts, and of those that have no vector."""
    if texts.project_id is not None:
        slice_ = ProjectShard(texts.project_id, texts.shard)
        counts = count_project_texts(engine, space, [slice_])[slice_]
        return counts.distinct, counts.pending
    every, pending = count_texts(space, day=texts.day), count_pending_texts(space, day=texts.day)
    with autocommit_connection(engine) as connection:
        row = connection.execute(select(every.scalar_subquery(), pending.scalar_subquery())).one()
    return row[0], row[1]


def _cost_figures(cost: EmbeddingCostRow | None) -> dict[str, float]:
    figures: dict[str, float] = {} if cost is None else {"billed_tokens": cost.tokens}
    return figures if cost is None or cost.cost is None else figures | {"cost": cost.cost}


def _claimed_batches(
    engine: Engine,
    settings: Settings,
    space: EmbeddingSpace,
    texts: TextSlice,
    encoder: Encoder,
    claims: TextClaims,
    refused: Sequence[Text],
    count_tokens: CountTokens | None,
    refused_before: bool | None = None,
) -> Iterator[list[Text]]:
    """Batches of texts for one call of the model, each text claimed; until all texts have vectors or are `refused`.

    An empty batch stands where the remaining texts are claimed by others, which may die: they are waited for.
    Raises BusyError when nothing has moved for RAG_ASSETS_LOCK_WAIT_S.
    """
    moved_at, waiting_before = time.monotonic(), 0
    while True:
        waiting = 0
        for page in _pending_pages(engine, space, texts, refused_before=refused_before):
            own_refused = {text[0] for text in refused}
            page = [text for text in page if text[0] not in own_refused]
            if count_tokens is not None:
                page = _count_tokens(page, count_tokens)
            limits = get_batch_limits(encoder, settings.batch_tokens)
            counts = [min(tokens, space.max_tokens) for _, _, tokens in page]
            parts = list(token_batches(counts, limits.tokens, limits.texts))
            number = max(1, min(CLAIMED_BATCHES, len(parts) // SHARES))
            for together in (parts[start : start + number] for start in range(0, len(parts), number)):
                claimed = page[together[0].start : together[-1].stop]
                own = claims.take([text[0] for text in claimed])
                waiting += len(claimed) - len(own)
                for part in together:
                    if chosen := [text for text in page[part] if text[0] in own]:
                        yield chosen
                        moved_at = time.monotonic()
        if not waiting:
            return
        if waiting != waiting_before:
            moved_at, waiting_before = time.monotonic(), waiting
        elif time.monotonic() - moved_at > settings.lock_wait_s:
            raise BusyError(
                f"another run has been embedding {waiting:,} texts of {texts.key or space.kind} for more than "
                f"{settings.lock_wait_s:g} s; wait for that run to end (or end it), then run again."
            )
        yield []
        time.sleep(_WAIT_S)


def _pending_pages(
    engine: Engine, space: EmbeddingSpace, texts: TextSlice, *, refused_before: bool | None = None
) -> Iterator[list[Text]]:
    """Pages of texts that wait in no batch: all, or only those that the model has or has not refused before."""
    statement = pending_texts(space, texts.project_id, texts.day, texts.shard)
    content_hash = statement.selected_columns.content_hash
    statement = statement.where(~is_in_batch(space, content_hash))
    if refused_before is not None:
        has_failed = exists().where(
            EmbeddingFailure.space_id == space.id, EmbeddingFailure.content_hash == content_hash
        )
        statement = statement.where(has_failed if refused_before else ~has_failed)
    return held_pages(engine, statement, "pending_texts", PAGE_TEXTS)


def _count_tokens(texts: Sequence[Text], count_tokens: CountTokens) -> list[Text]:
    counts = count_tokens([text for _, text, _ in texts])
    counted = [(hash_, text, count) for (hash_, text, _), count in zip(texts, counts, strict=True)]
    return sorted(counted, key=lambda text: text[2], reverse=True)


def _embed(
    key: str, space: EmbeddingSpace, encoder: Encoder, texts: Sequence[Text]
) -> tuple[EmbeddingBatch, RagAssetsError | None]:
    """The batch, and the error after which no further text may be tried."""
    started = time.perf_counter()
    batch = EmbeddingBatch(key, space.id)
    stopped = _encode_into(batch, encoder, space, texts)
    batch.figures = {
        "embedded": len(batch.rows),
        "tokens": sum(tokens for _, _, tokens in texts),
        "model_s": time.perf_counter() - started,
    }
    too_long = sum(tokens > space.max_tokens for _, _, tokens in texts)
    if too_long:
        batch.figures["longer_than_window"] = too_long
    return batch, stopped


def _embed_again(
    key: str, space: EmbeddingSpace, encoder: Encoder, texts: Sequence[Text]
) -> tuple[EmbeddingBatch, RagAssetsError | None]:
    """Ask once more for texts that the model refused, and whether it embeds anything at all.

    Without their vectors a document is found by some of its texts only: that must not be for an outage of the model.
    """
    again, probe = EmbeddingBatch(key, space.id), EmbeddingBatch(key, space.id)
    for text in texts:
        if stopped := _encode_into(again, encoder, space, [text]):
            return again, stopped
    stopped = _encode_into(probe, encoder, space, [_PROBE])
    figures: dict[str, float] = {"embedded": len(again.rows), "tokens": 0}
    return EmbeddingBatch(key, space.id, again.rows, figures=figures, has_refused=bool(probe.rows)), stopped


def _encode_into(
    batch: EmbeddingBatch, encoder: Encoder, space: EmbeddingSpace, texts: Sequence[Text]
) -> RagAssetsError | None:
    """Add the texts' vectors to the batch. When the model raises, halve the texts until the culprit is alone.

    Returns the error that says that the model cannot be used at all.
    """
    try:
        vectors = encoder.encode([text for _, text, _ in texts])
        if len(vectors) != len(texts):
            raise ValueError(f"the model gave {len(vectors)} vectors for {len(texts)} texts")
    except PartlyEncodedError as error:
        for text in texts:
            if text[1] in error.reasons:
                batch.faults.append(EmbeddingFailureRow(text[0], withhold_words(error.reasons[text[1]], [text[1]])))
            elif text[1] in error.vectors:
                _add(batch, space, text, error.vectors[text[1]])
        return error.stopped
    except RagAssetsError as error:
        return error
    except BaseException as error:
        if not is_fault(error):
            raise
        if len(texts) == 1:
            hash_, words, _ = texts[0]
            batch.faults.append(EmbeddingFailureRow(hash_, describe_fault(error, [words])))
            return None
        middle = len(texts) // 2
        stopped = _encode_into(batch, encoder, space, texts[:middle])
        return stopped or _encode_into(batch, encoder, space, texts[middle:])
    for text, vector in zip(texts, vectors, strict=True):
        _add(batch, space, text, vector)
    return None


def _add(batch: EmbeddingBatch, space: EmbeddingSpace, text: Text, vector: "NDArray[np.float32]") -> None:
    reason = vector_fault(vector, space.dimensions, normalized=space.normalize)
    if reason:
        batch.faults.append(EmbeddingFailureRow(text[0], reason))
    else:
        batch.rows.append(EmbeddingRow(text[0], vector))
