"""embeddings: a vector for each distinct text that has none in a space."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
from sqlalchemy import Engine, select

from rag_assets.db.connections.engines import direct_engine
from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.reports.throughput import embedding_work
from rag_assets.db.spaces.checksums import LENGTH_TOLERANCE
from rag_assets.db.spaces.pending import (
    count_next_texts,
    count_pending_texts,
    count_texts,
    pending_texts,
    staged_document_ids,
)
from rag_assets.db.writes.publishing import publish_documents
from rag_assets.db.writes.rows import EmbeddingCostRow, EmbeddingFailureRow, EmbeddingRow
from rag_assets.embedding.batches import PartlyEncodedError, token_batches
from rag_assets.embedding.encoder import Encoder, get_batch_limits
from rag_assets.embedding.faults import describe_fault, is_fault, withhold_words
from rag_assets.errors import RagAssetsError, ServiceError
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.batches import EmbeddingBatch
from rag_assets.pipeline.stages.budget import Budget
from rag_assets.pipeline.stages.vector_reuse import reuse_vectors
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAGE_TEXTS = 2_000
MOST_FAULTS_IN_A_ROW = 100

# Content hash, text, tokens.
Text = tuple[bytes, str, int]
CountTokens = Callable[[Sequence[str]], Sequence[int]]

# Embedded to tell a model that fails from a text that it refuses; never stored.
_PROBE: Text = (b"", "a text", 2)


@dataclass(frozen=True, slots=True)
class TextSlice:
    """The texts of a project, of a day (UTC), or, with neither, all texts of the space's kind; `key` names it."""

    key: str = ""
    project_id: UUID | None = None
    day: date | None = None


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
    # The second lock is shared: projects embed side by side, but never while orphan vectors are being removed.
    with (
        hold_lock(engine, f"embeddings of {key or space.kind} in space {space.id}", wait_s=wait_s),
        hold_lock(engine, f"vectors of space {space.id}", wait_s=wait_s, shared=True),
    ):
        # This generator runs one batch ahead: the last batch of the previous project or space may still be being
        # written. Once this empty batch has been taken, it is committed, and the table says what is still pending.
        yield EmbeddingBatch(key, space.id)
        of_slice = (texts.project_id, texts.day)
        project_id = texts.project_id
        every = count_texts(space, day=texts.day) if project_id is None else count_next_texts(space, project_id)
        counts = (every, count_pending_texts(space, *of_slice))
        with autocommit_connection(engine) as connection:
            distinct, pending = connection.execute(select(*(count.scalar_subquery() for count in counts))).one()
        # Usually nothing is pending, and the other spaces need not be queried.
        if pending:
            with engine.begin() as connection:
                reuse_vectors(connection, space, pending_texts(space, *of_slice))
                if texts.project_id is not None:
                    publish_documents(connection, connection.scalars(staged_document_ids(texts.project_id)).all())
                pending = connection.scalar(count_pending_texts(space, *of_slice)) or 0
        figures: dict[str, float] = {
            "distinct": distinct,
            "reused": max(0, distinct - pending),
            "embedded": 0,
            "tokens": 0,
        }
        yield EmbeddingBatch(key, space.id, figures=figures)
        if not pending:
            return
        if check_encoder is not None:
            check_encoder()
        budget = Budget(engine, settings, space, encoder, run_id)
        done = faults = 0
        refused: list[Text] = []
        tokens = seconds = 0.0
        for page in _pending_pages(engine, space, texts):
            if count_tokens is not None:
                page = _count_tokens(page, count_tokens)
            limits = get_batch_limits(encoder, settings.batch_tokens)
            counts_in_window = [min(tokens, space.max_tokens) for _, _, tokens in page]
            for part in token_batches(counts_in_window, limits.tokens, limits.texts):
                affordable = budget.affordable([tokens for _, _, tokens in page[part]])
                chosen = page[part][:affordable]
                if not chosen:
                    yield EmbeddingBatch(key, space.id, cost=budget.pause(pending - done), figures={"paused": 1})
                    return
                batch, stopped = _embed(key, space, encoder, chosen)
                batch.cost = budget.bill(int(batch.figures["tokens"]))
                batch.figures |= _cost_figures(batch.cost)
                failed = {fault.content_hash for fault in batch.faults}
                refused += [text for text in chosen if text[0] in failed]
                if done:
                    # The first batch is left out of the rate: it also loads the model.
                    tokens += batch.figures["tokens"]
                    seconds += batch.figures["model_s"]
                done += len(chosen)
                faults = 0 if batch.rows else faults + len(batch.faults)
                report_progress("embeddings", done, pending, "texts")
                yield batch
                if stopped is not None:
                    raise stopped
                if affordable < len(page[part]):
                    yield EmbeddingBatch(key, space.id, cost=budget.pause(pending - done), figures={"paused": 1})
                    return
                # Texts that the model refuses are set aside; a model that refuses all of them is itself broken.
                if faults >= MOST_FAULTS_IN_A_ROW or (faults == pending == distinct):
                    raise ServiceError(
                        f"the model {space.model} failed on {faults} texts one after another, the last time with: "
                        f"{batch.faults[-1].error}; fix the model, then run again."
                    )
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


def _cost_figures(cost: EmbeddingCostRow | None) -> dict[str, float]:
    figures: dict[str, float] = {} if cost is None else {"billed_tokens": cost.tokens}
    return figures if cost is None or cost.cost is None else figures | {"cost": cost.cost}


def _pending_pages(engine: Engine, space: EmbeddingSpace, texts: TextSlice) -> Iterator[list[Text]]:
    """Page through the pending texts with a held cursor: sorted once, in the server, with no open transaction."""
    from sqlalchemy.dialects import postgresql

    statement = pending_texts(space, texts.project_id, texts.day)
    query = statement.compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]
    direct = direct_engine(engine, "paging through pending texts")
    with direct.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        cursor = driver.cursor("pending_texts", withhold=True)
        try:
            cursor.execute(str(query), query.params)
            while page := cursor.fetchmany(PAGE_TEXTS):
                yield page
        finally:
            # A lost session has taken its cursor along.
            with suppress(psycopg.OperationalError):
                cursor.close()


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


def vector_fault(vector: "NDArray[np.float32]", dimensions: int, *, normalized: bool) -> str | None:
    """The reason why a vector cannot be stored; None when it can."""
    import numpy as np

    if vector.shape != (dimensions,):
        return f"the vector has shape {vector.shape}, not ({dimensions},)"
    if not np.isfinite(vector).all():
        return "the vector has NaN or infinite components"
    if not vector.any():
        return "the vector is zero"
    length = float(np.linalg.norm(vector.astype(np.float64)))
    # Otherwise the check vectors_are_sound would fail from now on, and could not name the text.
    if normalized and abs(length - 1) > LENGTH_TOLERANCE:
        return f"the vector has length {length:.3g}, not 1"
    return None
