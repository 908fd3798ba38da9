"""embeddings: a vector for each distinct text that has none in a space."""

from collections.abc import Callable, Iterator
from uuid import uuid4

from sqlalchemy import Engine

from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.reports.throughput import embedding_work
from rag_assets.db.spaces.pending import count_pending_texts, pending_texts, staged_document_ids
from rag_assets.db.writes.claims import claims_of, release_dead_claims
from rag_assets.db.writes.publishing import publish_documents
from rag_assets.db.writes.rows import EmbeddingCostRow
from rag_assets.documents.shards import split_key
from rag_assets.embedding.encoder import Encoder
from rag_assets.embedding.remote.encoder import RemoteEncoder
from rag_assets.errors import ServiceError
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.batches import EmbeddingBatch
from rag_assets.pipeline.stages.vectors.budget import Budget
from rag_assets.pipeline.stages.vectors.encoding import PROBE, embed_again, embed_batch
from rag_assets.pipeline.stages.vectors.remote_batches.fetch import FetchOutcome, fetch_batches
from rag_assets.pipeline.stages.vectors.remote_batches.submit import BatchSubmission, uses_batches
from rag_assets.pipeline.stages.vectors.text_slices import (
    CountTokens,
    Text,
    TextSlice,
    claimed_batches,
    count_slice,
    pending_pages,
)
from rag_assets.pipeline.stages.vectors.vector_reuse import reuse_vectors
from rag_assets.settings.settings import Settings

MOST_FAULTS_IN_A_ROW = 100


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
        distinct, pending = count_slice(engine, space, texts)
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
            yield from submission.submit(pending_pages(engine, space, texts, refused_before=False))
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
        for chosen in claimed_batches(
            engine, settings, space, texts, encoder, claims, refused, count_tokens, only_refused
        ):
            if not chosen:
                # All that others do not embed is done: what is still theirs is committed by them.
                yield EmbeddingBatch(key, space.id)
                continue
            affordable = budget.affordable([tokens for _, _, tokens in chosen])
            part = chosen[:affordable]
            if part:
                batch, stopped = embed_batch(key, space, encoder, part)
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
        token_counts = [text[2] for text in (*again, PROBE)]
        if again and budget.affordable(token_counts) == len(token_counts):
            batch, stopped = embed_again(key, space, encoder, again)
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
