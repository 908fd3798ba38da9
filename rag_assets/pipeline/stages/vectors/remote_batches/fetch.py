"""Fetch the vectors of batches that have ended, and find those again whose run ended while it submitted them."""

import logging
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import ARRAY, Connection, Engine, LargeBinary, bindparam, exists, func, select

from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace, RemoteBatch
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.pending import has_text_in_use
from rag_assets.db.spaces.remote_batches import is_being_submitted, open_batches
from rag_assets.db.spaces.text_kinds import text_source
from rag_assets.db.writes.remote_batches import (
    RemoteBatchEnd,
    set_submitted,
    texts_of_batch,
    withdraw_batch,
)
from rag_assets.db.writes.rows import EmbeddingFailureRow, EmbeddingRow
from rag_assets.embedding.faults import withhold_words
from rag_assets.embedding.remote.batch_client import BatchClient, RemoteBatchState
from rag_assets.embedding.remote.batch_lines import AnsweredLine, read_batch_answers
from rag_assets.embedding.remote.encoder import RemoteEncoder
from rag_assets.embedding.remote.servers import mark_server
from rag_assets.errors import BusyError, RagAssetsError, ServiceError
from rag_assets.pipeline.stages.batches import EmbeddingBatch
from rag_assets.pipeline.stages.vectors.budget import cost_of
from rag_assets.pipeline.stages.vectors.vector_faults import vector_fault
from rag_assets.settings.settings import Settings

PAGE_VECTORS = 500
# A batch that refuses so many texts, and embeds none, says something of the model, not of the texts.
MOST_REFUSED = 100

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class FetchOutcome:
    """What the caller needs to know once all open batches were asked for."""

    fetched: int = 0
    queue_is_full: bool = False
    failures: list[RagAssetsError] = field(default_factory=list)


def fetch_batches(
    engine: Engine,
    settings: Settings,
    space: EmbeddingSpace,
    encoder: RemoteEncoder,
    key: str,
    outcome: FetchOutcome,
) -> Iterator[EmbeddingBatch]:
    """Stream the vectors of the space's batches that have ended, of whichever project.

    Batches that another run fetches just now are left to it. Failures are collected in `outcome`, so that one batch
    does not hold back another.
    """
    found = open_batches(engine, space)
    if not found:
        return
    try:
        with (
            hold_lock(engine, f"batches of space {space.id}", wait_s=0),
            closing(BatchClient(encoder.endpoint)) as client,
        ):
            for batch in open_batches(engine, space):
                state = _ask(engine, client, batch)
                if state is None or state.ended is None:
                    continue
                outcome.queue_is_full = outcome.queue_is_full or state.queue_is_full
                yield from _fetch(engine, settings, space, encoder, client, batch, state, key, outcome)
    except BusyError:
        _log.info("another run fetches the batches of space %s", space.id)


def _ask(engine: Engine, client: BatchClient, batch: RemoteBatch) -> RemoteBatchState | None:
    """The state of a batch; None for one that is not at this server, or that nobody has to wait for any more."""
    if batch.status == "submitting":
        return _recover(engine, client, batch)
    assert batch.remote_id is not None
    if batch.server != mark_server(client.endpoint.url):
        if batch.expires_at is not None and batch.expires_at > datetime.now(UTC):
            return None
        return _lost(batch, "expired", "it is at another server than the one of the settings")
    return client.get(batch.remote_id) or _lost(batch, "failed", "the server does not know it any more")


def _lost(batch: RemoteBatch, ended: str, error: str) -> RemoteBatchState:
    return RemoteBatchState(batch.remote_id or "", ended, error, False, None, None, ())


def _recover(engine: Engine, client: BatchClient, batch: RemoteBatch) -> RemoteBatchState | None:
    """Find a batch whose run ended before it knew that the server had accepted it; withdraw one that it has not.

    The server may still be about to accept it. Its file is deleted before it is looked for the last time: without the
    file it cannot be accepted any more.
    """
    with autocommit_connection(engine) as connection:
        if is_being_submitted(connection, batch):
            return None
    state = None
    if batch.file_id is not None and batch.server == mark_server(client.endpoint.url):
        state = client.find(batch.file_id, str(batch.id))
        if state is None:
            client.delete_file(batch.file_id)
            state = client.find(batch.file_id, str(batch.id))
    with engine.begin() as connection:
        if state is None:
            withdraw_batch(connection, batch)
        else:
            set_submitted(connection, batch, state.id, state.expires_at)
    return state


def _fetch(
    engine: Engine,
    settings: Settings,
    space: EmbeddingSpace,
    encoder: RemoteEncoder,
    client: BatchClient,
    batch: RemoteBatch,
    state: RemoteBatchState,
    key: str,
    outcome: FetchOutcome,
) -> Iterator[EmbeddingBatch]:
    """The vectors of one batch, then its end, in the transaction after which its texts are free again."""
    assert state.ended is not None
    answers = _Answers(engine, space, batch)
    with TemporaryDirectory(prefix="rag_assets_batch_") as folder:
        for number, file_id in enumerate(state.output_files):
            file = Path(folder) / f"{number}.jsonl"
            if client.download(file_id, file):
                for page in answers.pages(encoder, file):
                    outcome.fetched += len(page.rows)
                    page.key = key
                    yield page
            else:
                answers.error = "the server does not have its answers any more"
            file.unlink(missing_ok=True)
    status, error = answers.end(state)
    cost = cost_of(answers.tokens, settings.price_of(space.model, in_batch=True))
    figures: dict[str, float] = {"billed_tokens": answers.tokens} if answers.tokens else {}
    figures |= {"cost": cost} if cost else {}
    end = RemoteBatchEnd(batch.id, status, error, answers.tokens, cost)
    yield EmbeddingBatch(key, space.id, faults=answers.faults, figures=figures, remote_end=end)
    # Once this empty batch has been taken, the end is committed, and the server's files are not needed any more.
    yield EmbeddingBatch(key, space.id)
    for done in filter(None, (state.input_file, *state.output_files)):
        with suppress(RagAssetsError):
            client.delete_file(done)
    if error is not None and status == "failed" and not state.queue_is_full:
        outcome.failures.append(
            ServiceError(
                f"a batch of {batch.texts:,} texts for {space.model} failed: {error}; fix this, then run again, which "
                "submits the texts again."
            )
        )


class _Answers:
    """What the server answered to the texts of one batch."""

    def __init__(self, engine: Engine, space: EmbeddingSpace, batch: RemoteBatch) -> None:
        self.tokens = self.vectors = 0
        self.error: str | None = None
        self.faults: list[EmbeddingFailureRow] = []
        self._blocked = False
        self._engine, self._space, self._batch = engine, space, batch

    def pages(self, encoder: RemoteEncoder, file: Path) -> Iterator[EmbeddingBatch]:
        """Vectors of texts that are still in use and have none yet."""
        space = self._space
        with autocommit_connection(self._engine) as connection:
            own = texts_of_batch(connection, self._batch)
        rows: list[EmbeddingRow] = []
        tokens = 0
        for line in read_batch_answers(encoder, file):
            if line.content_hash not in own:
                continue
            own.discard(line.content_hash)
            if line.vector is None:
                self._count_without_vector(line)
                continue
            billed = line.tokens if line.tokens is not None else self._batch.tokens // max(1, self._batch.texts)
            self.tokens += billed
            reason = vector_fault(line.vector, space.dimensions, normalized=space.normalize)
            if reason is not None:
                self.faults.append(EmbeddingFailureRow(line.content_hash, reason))
                continue
            self.vectors += 1
            tokens += billed
            rows.append(EmbeddingRow(line.content_hash, line.vector))
            if len(rows) >= PAGE_VECTORS:
                yield self._page(rows, tokens)
                rows, tokens = [], 0
        if rows:
            yield self._page(rows, tokens)

    def _page(self, rows: list[EmbeddingRow], tokens: int) -> EmbeddingBatch:
        with autocommit_connection(self._engine) as connection:
            wanted = _wanted(connection, self._space, [row.content_hash for row in rows])
        rows = [row for row in rows if row.content_hash in wanted]
        return EmbeddingBatch("", self._space.id, rows, figures={"embedded": len(rows), "tokens": tokens})

    def _count_without_vector(self, line: AnsweredLine) -> None:
        if line.refusal is not None:
            texts = text_source(self._space)
            with autocommit_connection(self._engine) as connection:
                own = connection.scalar(select(texts.content).where(texts.content_hash == line.content_hash).limit(1))
            self.faults.append(EmbeddingFailureRow(line.content_hash, withhold_words(line.refusal, [own or ""])))
        elif line.error is not None:
            self.error = self.error or withhold_words(line.error, ())
            self._blocked = self._blocked or line.blocks

    def end(self, state: RemoteBatchState) -> tuple[str, str | None]:
        """The status of the batch, and what went wrong with it."""
        ended = state.ended or "failed"
        if ended == "fetched" and not self.vectors and len(self.faults) >= MOST_REFUSED:
            # The model refuses all texts: it is broken, and no text is to blame.
            refused, self.faults = self.faults, []
            return "failed", refused[-1].error
        if ended == "fetched" and self.error is not None and (self._blocked or not (self.vectors or self.faults)):
            return "failed", self.error
        return ended, state.error or (self.error if ended != "fetched" else None)


def _wanted(connection: Connection, space: EmbeddingSpace, hashes: list[bytes]) -> set[bytes]:
    """Those of the hashes without a vector that a text in use has: others were deleted meanwhile."""
    stored = partition(space.id)
    each = func.unnest(bindparam("hashes", hashes, ARRAY(LargeBinary))).column_valued("hash")
    has_vector = exists().where(stored.c.content_hash == each)
    return set(connection.scalars(select(each).where(~has_vector, has_text_in_use(space, each))))
