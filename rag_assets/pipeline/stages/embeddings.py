"""embeddings: vectors for the texts that have none in a space, each distinct text once."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Engine, select

from rag_assets.db.connections.engines import direct_engine
from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.reports.throughput import embedding_work
from rag_assets.db.spaces.checksums import LENGTH_TOLERANCE
from rag_assets.db.spaces.pending import count_pending_texts, count_texts, pending_texts
from rag_assets.db.writes.rows import EmbeddingFailureRow, EmbeddingRow
from rag_assets.embedding.encoder import Encoder, token_batches
from rag_assets.errors import ServiceError
from rag_assets.pipeline.progress import report
from rag_assets.pipeline.stages.batches import EmbeddingBatch
from rag_assets.pipeline.stages.vector_reuse import adopt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAGE_TEXTS = 2_000
MOST_FAULTS_IN_A_ROW = 100

Text = tuple[bytes, str, int]
CountTokens = Callable[[Sequence[str]], Sequence[int]]


def refresh_embeddings(
    engine: Engine,
    *,
    key: str,
    project_id: UUID | None = None,
    day: date | None = None,
    space: EmbeddingSpace,
    encoder: Encoder,
    count_tokens: CountTokens | None = None,
    batch_tokens: int,
    wait_s: float,
) -> Iterator[EmbeddingBatch]:
    """Stream vectors for the texts of a slice that have none in this space; loads no model when there are none.

    The slice, called `key`, is a project's texts, those made on a `day` (UTC), or all of the space's kind. Tokens are
    those stored with a text, unless there is a way to count them.

    Raises ServiceError when the model fails on one text after another, or on every text that the slice has.
    """
    # Shared: projects embed side by side, but never while vectors that nothing points to are being removed.
    with (
        hold_lock(engine, f"embeddings of {key or space.kind} in space {space.id}", wait_s=wait_s),
        hold_lock(engine, f"vectors of space {space.id}", wait_s=wait_s, shared=True),
    ):
        # The last batch of the project or space before this one is being written while this runs one ahead. Only when
        # it is committed does the table say which texts are still without a vector: when this empty one was taken.
        yield EmbeddingBatch(key, space.id)
        counts = (count_texts(space, project_id, day), count_pending_texts(space, project_id, day))
        with autocommit_connection(engine) as connection:
            distinct, pending = connection.execute(select(*(count.scalar_subquery() for count in counts))).one()
        # Mostly nothing is pending, and other spaces need not be looked at.
        if pending:
            with engine.begin() as connection:
                adopt(connection, space, pending_texts(space, project_id, day))
                pending = connection.scalar(count_pending_texts(space, project_id, day)) or 0
        yield EmbeddingBatch(
            key, space.id, figures={"distinct": distinct, "reused": distinct - pending, "embedded": 0, "tokens": 0}
        )
        if not pending:
            return
        done = faults = 0
        tokens = seconds = 0.0
        for texts in _pages(engine, space, project_id, day):
            if count_tokens is not None:
                texts = _counted(texts, count_tokens)
            for cut in token_batches([min(tokens, space.max_tokens) for _, _, tokens in texts], batch_tokens):
                batch = _embed(key, space, encoder, texts[cut])
                if done:
                    # The first batch also pays for loading the model.
                    tokens += batch.figures["tokens"]
                    seconds += batch.figures["model_s"]
                done += len(texts[cut])
                faults = 0 if batch.rows else faults + len(batch.faults)
                report("embeddings", done, pending, "texts")
                yield batch
                # A model that fails on everything is at fault itself; a few texts that it refuses are set aside.
                if faults >= MOST_FAULTS_IN_A_ROW or (faults == pending == distinct):
                    raise ServiceError(
                        f"the model {space.model} failed on {faults} texts one after another, the last time with: "
                        f"{batch.faults[-1].error}; mend the model, then run again."
                    )
        if tokens:
            work = embedding_work(space.model, space.revision)
            yield EmbeddingBatch(key, space.id, worked=(work, tokens, seconds))


def _pages(engine: Engine, space: EmbeddingSpace, project_id: UUID | None, day: date | None) -> Iterator[list[Text]]:
    """Page through the pending texts with a held cursor: sorted once, in the server, with no open transaction."""
    from sqlalchemy.dialects import postgresql

    query = pending_texts(space, project_id, day).compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]
    direct = direct_engine(engine, "paging through pending texts")
    with direct.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        with driver.cursor("pending_texts", withhold=True) as cursor:
            cursor.execute(str(query), query.params)
            while page := cursor.fetchmany(PAGE_TEXTS):
                yield page


def _counted(texts: Sequence[Text], count_tokens: CountTokens) -> list[Text]:
    counts = count_tokens([text for _, text, _ in texts])
    found = [(hash_, text, count) for (hash_, text, _), count in zip(texts, counts, strict=True)]
    return sorted(found, key=lambda text: text[2], reverse=True)


def _embed(key: str, space: EmbeddingSpace, encoder: Encoder, texts: Sequence[Text]) -> EmbeddingBatch:
    started = time.perf_counter()
    batch = EmbeddingBatch(key, space.id)
    _encode(encoder, space, texts, batch)
    batch.figures = {
        "embedded": len(batch.rows),
        "tokens": sum(tokens for _, _, tokens in texts),
        "model_s": time.perf_counter() - started,
    }
    beyond = sum(tokens > space.max_tokens for _, _, tokens in texts)
    if beyond:
        batch.figures["longer_than_window"] = beyond
    return batch


def _encode(encoder: Encoder, space: EmbeddingSpace, texts: Sequence[Text], batch: EmbeddingBatch) -> None:
    """Embed texts into the batch; where the model raises, halve until the culprit is alone."""
    try:
        vectors = encoder.encode([text for _, text, _ in texts])
        if len(vectors) != len(texts):
            raise ValueError(f"the model gave {len(vectors)} vectors for {len(texts)} texts")
    except Exception as error:
        if len(texts) == 1:
            batch.faults.append(_fault(texts[0], f"{type(error).__name__}: {error}"))
            return
        middle = len(texts) // 2
        _encode(encoder, space, texts[:middle], batch)
        _encode(encoder, space, texts[middle:], batch)
        return
    for text, vector in zip(texts, vectors, strict=True):
        reason = vector_fault(vector, space.dimensions, normalized=space.normalize)
        if reason:
            batch.faults.append(_fault(text, reason))
        else:
            batch.rows.append(EmbeddingRow(text[0], vector))


def vector_fault(vector: "NDArray[np.float32]", dimensions: int, *, normalized: bool) -> str | None:
    """What is wrong with a vector, None where nothing is."""
    import numpy as np

    if vector.shape != (dimensions,):
        return f"the vector has shape {vector.shape}, not ({dimensions},)"
    if not np.isfinite(vector).all():
        return "the vector has NaN or infinite components"
    if not vector.any():
        return "the vector is zero"
    length = float(np.linalg.norm(vector.astype(np.float64)))
    # The check vectors_are_sound would be red for ever after, and could not name the text.
    if normalized and abs(length - 1) > LENGTH_TOLERANCE:
        return f"the vector has length {length:.3g}, not 1"
    return None


def _fault(text: Text, reason: str) -> EmbeddingFailureRow:
    shown = text[1] if len(text[1]) <= 80 else text[1][:79] + "…"
    return EmbeddingFailureRow(text[0], f"text {shown!r}: {reason}")
