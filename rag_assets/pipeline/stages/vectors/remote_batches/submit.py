"""Submit texts to the batch interface of an embedding server: reserved in the database first, never submitted twice."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from uuid import uuid4

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace, RemoteBatch
from rag_assets.db.writes.claims import TextClaims
from rag_assets.db.writes.remote_batches import (
    add_batch,
    reserve_cost,
    reserve_texts,
    set_file,
    set_submitted,
    withdraw_batch,
)
from rag_assets.embedding.encoder import Encoder
from rag_assets.embedding.remote.batch_client import BatchClient
from rag_assets.embedding.remote.batch_lines import request_line
from rag_assets.embedding.remote.encoder import RemoteEncoder
from rag_assets.embedding.remote.names import is_remote, split_name
from rag_assets.embedding.remote.servers import mark_server
from rag_assets.errors import RefusedError, UsageError
from rag_assets.pipeline.stages.batches import EmbeddingBatch
from rag_assets.pipeline.stages.vectors.budget import Budget
from rag_assets.pipeline.stages.vectors.text_slices import Text
from rag_assets.settings.settings import Settings

# OpenAI takes files of 200 MB.
MOST_FILE_BYTES = 150_000_000


def uses_batches(settings: Settings, space: EmbeddingSpace, encoder: Encoder) -> bool:
    """Whether this space's texts go through batches: those of documents, for the model of the settings.

    Raises UsageError for a model that has no batch interface that we know.
    """
    if not settings.embedding_batch or space.kind != "chunks" or space.model != _wanted_name(settings):
        return False
    if not isinstance(encoder, RemoteEncoder):
        if not is_remote(space.model):
            raise UsageError(_no_batches(space.model))
        # An embedder of the user's own.
        return False
    if encoder.endpoint.dialect != "openai":
        raise UsageError(_no_batches(space.model))
    return True


def _wanted_name(settings: Settings) -> str:
    return ":".join(split_name(settings.model)) if is_remote(settings.model) else settings.model


def _no_batches(model: str) -> str:
    return (
        f"RAG_ASSETS_EMBEDDING_BATCH is set, and batches are known for models of openai: alone, not for {model}; "
        "unset it, or choose such a model."
    )


class BatchSubmission:
    """Submits the texts of one slice; a batch ends at `embedding_batch_texts` texts, or where its file is too large."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        space: EmbeddingSpace,
        encoder: RemoteEncoder,
        key: str,
        claims: TextClaims,
        budget: Budget,
        run_id: str | None,
    ) -> None:
        self._engine, self._settings = engine, settings
        self._space, self._encoder, self._key = space, encoder, key
        self._claims, self._budget, self._run_id = claims, budget, run_id
        self.submitted = 0
        self.is_paused = False

    def submit(self, pages: Iterator[list[Text]]) -> Iterator[EmbeddingBatch]:
        with (
            closing(BatchClient(self._encoder.endpoint)) as client,
            TemporaryDirectory(prefix="rag_assets_batch_") as folder,
        ):
            rest: list[Text] = []
            while not self.is_paused:
                file = Path(folder) / "texts.jsonl"
                with file.open("wb") as lines:
                    batch, rest = self._fill(lines, rest, pages)
                if batch is None:
                    return
                self._send(client, batch, file)
                self.submitted += batch.texts
                yield EmbeddingBatch(
                    self._key, self._space.id, figures={"submitted": batch.texts, "submitted_tokens": batch.tokens}
                )

    def _fill(
        self, lines: BinaryIO, rest: list[Text], pages: Iterator[list[Text]]
    ) -> tuple[RemoteBatch | None, list[Text]]:
        """Reserve texts and write their lines; returns the batch, None without texts, and what did not fit."""
        batch = RemoteBatch(
            id=uuid4(),
            space_id=self._space.id,
            owner=self._claims.owner,
            key=self._key,
            server=mark_server(self._encoder.endpoint.url),
            texts=0,
            tokens=0,
        )
        while True:
            page = rest or next(pages, [])
            rest = []
            room = self._settings.embedding_batch_texts - batch.texts
            if page and (not room or lines.tell() >= MOST_FILE_BYTES):
                return batch, page
            page, rest = page[:room], page[room:]
            affordable = self._budget.affordable([tokens for _, _, tokens in page])
            if affordable < len(page):
                self.is_paused = True
                page, rest = page[:affordable], []
            own = self._claims.take([hash_ for hash_, _, _ in page]) if page else set()
            if own:
                own = self._reserve(batch, [(hash_, tokens) for hash_, _, tokens in page if hash_ in own])
            for hash_, text, _ in page:
                if hash_ in own:
                    lines.write(request_line(self._encoder, hash_, text))
            if not page:
                return (batch if batch.texts else None), []

    def _reserve(self, batch: RemoteBatch, texts: Sequence[tuple[bytes, int]]) -> set[bytes]:
        with self._engine.begin() as connection:
            if not batch.texts:
                add_batch(connection, batch)
            own = reserve_texts(connection, batch, self._space, texts)
            tokens = sum(tokens for hash_, tokens in texts if hash_ in own)
            cost = self._budget.reserve(tokens)
            reserve_cost(connection, batch, self._space.model, self._run_id, tokens, cost)
        batch.texts += len(own)
        batch.tokens += tokens
        return own

    def _send(self, client: BatchClient, batch: RemoteBatch, file: Path) -> None:
        try:
            file_id = client.upload(file, f"rag-assets-{batch.id}.jsonl")
            with self._engine.begin() as connection:
                set_file(connection, batch, file_id)
            # Whether the server has accepted it is not known after any other error: the next run looks for it.
            state = client.create(file_id, str(batch.id))
        except RefusedError:
            with self._engine.begin() as connection:
                withdraw_batch(connection, batch)
            raise
        with self._engine.begin() as connection:
            set_submitted(connection, batch, state.id, state.expires_at)
        self._claims.release()
