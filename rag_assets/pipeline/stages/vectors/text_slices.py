"""The texts of a slice that have no vector yet, in batches that no other embedder has claimed."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Engine, exists, select

from rag_assets.db.connections.execute import held_pages
from rag_assets.db.database import autocommit_connection
from rag_assets.db.models import EmbeddingFailure, EmbeddingSpace
from rag_assets.db.spaces.pending import count_pending_texts, count_texts, pending_texts
from rag_assets.db.spaces.remote_batches import is_in_batch
from rag_assets.db.spaces.shards import ProjectShard
from rag_assets.db.writes.claims import TextClaims
from rag_assets.db.writes.kept_counts import count_project_texts
from rag_assets.documents.shards import WHOLE, Shard
from rag_assets.embedding.batches import token_batches
from rag_assets.embedding.encoder import Encoder, get_batch_limits
from rag_assets.errors import BusyError
from rag_assets.settings.settings import Settings

PAGE_TEXTS = 2_000
# Claimed in one go, since a claim costs three statements; of few texts less, so that others find some to embed.
CLAIMED_BATCHES = 8
SHARES = 16
# Between two looks at the texts that others embed.
_WAIT_S = 0.1

# Content hash, text, tokens.
Text = tuple[bytes, str, int]
CountTokens = Callable[[Sequence[str]], Sequence[int]]


@dataclass(frozen=True, slots=True)
class TextSlice:
    """The texts of a project or shard, of a day (UTC), or, with neither, all texts of the kind; `key` names it."""

    key: str = ""
    project_id: UUID | None = None
    day: date | None = None
    shard: Shard = WHOLE


def count_slice(engine: Engine, space: EmbeddingSpace, texts: TextSlice) -> tuple[int, int]:
    """The number of distinct texts, and of those that have no vector."""
    if texts.project_id is not None:
        slice_ = ProjectShard(texts.project_id, texts.shard)
        counts = count_project_texts(engine, space, [slice_])[slice_]
        return counts.distinct, counts.pending
    every, pending = count_texts(space, day=texts.day), count_pending_texts(space, day=texts.day)
    with autocommit_connection(engine) as connection:
        row = connection.execute(select(every.scalar_subquery(), pending.scalar_subquery())).one()
    return row[0], row[1]


def claimed_batches(
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
        for page in pending_pages(engine, space, texts, refused_before=refused_before):
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


def pending_pages(
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
