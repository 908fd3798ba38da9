"""The front door for applications: search, and what an application stores, over one database.

from rag_assets import Client

with Client() as client:
    for hit in client.search("How do I close a file?", k=5).hits:
        print(hit.score, hit.file_path, hit.text)
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack, overload
from uuid import UUID

from sqlalchemy import URL, Engine

from rag_assets.db.connections.options import Role
from rag_assets.db.connections.pool import PoolStatistics, pool_statistics
from rag_assets.db.database import clear_connection_errors, new_engine, open_async_engine, open_engine
from rag_assets.db.shutdown import close_async_engine, close_engine
from rag_assets.errors import UsageError
from rag_assets.repositories import (
    Adapters,
    Bulk,
    Conversations,
    Documents,
    Memories,
    Messages,
    Projects,
    Sessions,
    Specializations,
    SyncAdapters,
    SyncBulk,
    SyncConversations,
    SyncDocuments,
    SyncMemories,
    SyncMessages,
    SyncProjects,
    SyncSessions,
    SyncSpecializations,
    SyncUsers,
    Users,
)
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.search.request import Options, Query
from rag_assets.search.results import Answer
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings, load_settings, resolve_settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.db.reports.health import HealthCheck
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.embedding.encoder import Encoder
    from rag_assets.search.analysis.aggregates import Aggregate
    from rag_assets.search.analysis.provenance import Provenance
    from rag_assets.search.evaluation.run import EvaluationReport
    from rag_assets.search.kinds.dispatch import AnyAnswer, MixedAnswer
    from rag_assets.search.kinds.memories import MemoryAnswer, MemoryOptions
    from rag_assets.search.kinds.messages import MessageAnswer, MessageOptions
    from rag_assets.search.ranking.rerank import Reranker
    from rag_assets.search.results import Mode

R = TypeVar("R")

GRACE_S = 10.0


class Client:
    """Searches a database and stores what an application stores, from any number of threads.

    `settings` are a `Settings`, a database URL, or None for those of the environment; without a database URL the
    embedded server of the state folder serves, and is started when it is down. Nothing is connected before the first
    call. `reranker` takes the place of the cross-encoder that the settings name, `encoder` that of the live space's
    own model.

    Close it when you are done, or use it as a context manager.
    """

    def __init__(
        self,
        settings: Settings | str | URL | None = None,
        *,
        reranker: "Reranker | None" = None,
        encoder: "Encoder | None" = None,
    ) -> None:
        self.settings = _settings(settings)
        self._reranker = reranker
        self._encoder = encoder
        self._engines: dict[Role, Engine] = {}
        self._searching: Retriever | None = None
        self._lock = threading.RLock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {_place(self.settings)}{', closed' if self._closed else ''}>"

    @overload
    def search(self, query: Query, *, kinds: Literal["chunks"] = ..., **options: Unpack[Options]) -> Answer: ...

    @overload
    def search(
        self, query: Query, *, kinds: Literal["messages"], **options: Unpack["MessageOptions"]
    ) -> "MessageAnswer": ...

    @overload
    def search(
        self, query: Query, *, kinds: Literal["memories"], **options: Unpack["MemoryOptions"]
    ) -> "MemoryAnswer": ...

    @overload
    def search(self, query: Query, *, kinds: "Sequence[Kind]", **options: Any) -> "AnyAnswer | MixedAnswer": ...

    def search(self, query: Query, *, kinds: Any = "chunks", **options: Any) -> Any:
        """The best hits for a query (a text, or a vector of the live space's model), best first.

        Options: `k`, `mode` (vector, text, hybrid), `filters` or the single filters (`project`, `file_type`,
        `path_glob`, `metadata`, `created_from` …), `min_score`, `weights`, `rrf_constant`, `distance`, `exact`,
        `ef_search`, `rerank`, `mmr`, `context`, `timeout_s`. `kinds` may name `messages`, `memories` or a table that
        another package registers (whose options are `TableOptions`), or several.

        Raises UsageError for a query or an option that cannot be, ServiceError while the database or the model is
        away, while no space is live, or when the search took longer than `timeout_s`.
        """
        return self._retriever.search(query, kinds=kinds, **options)

    def search_many(self, queries: Iterable[Query], **options: Unpack[Options]) -> list[Answer]:
        """One answer for each query, in order, with the same options for all; in one round trip where possible."""
        return self._retriever.search_many(queries, **options)

    def similar(
        self,
        chunk_id: UUID | None = None,
        *,
        document: tuple[str, str] | None = None,
        equal_texts: bool = False,
        **options: Unpack[Options],
    ) -> Answer:
        """The chunks nearest to a chunk, or to the average of a document (project, file path).

        Chunks of the very same text are left out unless `equal_texts`.
        """
        return self._retriever.similar(chunk_id, document=document, equal_texts=equal_texts, **options)

    def centroid(self, *, document: tuple[str, str] | None = None, **options: Unpack[Options]) -> list[float]:
        """The average vector of the chunks that the filters leave, or of one document's (project, file path)."""
        return self._retriever.centroid(document=document, **options)

    def aggregate(
        self, *, to: Query | None = None, nearest: int = 10, buckets: int = 20, **options: Unpack[Options]
    ) -> "Aggregate":
        """Counts, nearest documents and a histogram of distances over the chunks that the filters leave."""
        return self._retriever.aggregate(to=to, nearest=nearest, buckets=buckets, **options)

    def explain(self, chunk_id: UUID) -> "Provenance":
        """Where a hit comes from: source and version, offsets, space, model, and the runs that wrote it."""
        return self._retriever.explain_hit(chunk_id)

    def evaluate(
        self, queries: str | Path, *, project: str | None = None, mode: "Mode | None" = None
    ) -> "EvaluationReport":
        """How well searches find what evaluation queries ask for: nDCG@10, recall, MRR, latency.

        `queries` is a JSONL file (one a line: `{"query": …, "relevant": {"<file_path>": 1}}`) or a folder in BEIR's
        layout, local or behind a URL.
        """
        from rag_assets.search.evaluation.run import run_evaluation
        from rag_assets.search.evaluation.thresholds import read_queries_at

        return run_evaluation(
            self._engine("read"), self._retriever, read_queries_at(str(queries)), project=project, mode=mode
        )

    def health(self) -> "list[HealthCheck]":
        """Whether this installation can serve: connection, extension, schema, indexes, pool; raises nothing."""
        from rag_assets.db.reports.health import check_health

        with self._lock:
            opened = self._engines.get("read")
        engine = opened or new_engine(self.settings, "read")
        try:
            return check_health(engine)
        finally:
            if opened is None:
                engine.dispose()

    def pool_statistics(self) -> dict[Role, PoolStatistics]:
        """The pools of readers and writers: size, in use, waiting, timeouts; those that were opened so far."""
        with self._lock:
            return {role: pool_statistics(engine) for role, engine in self._engines.items()}

    def close(self, grace_s: float = GRACE_S) -> int:
        """Close the pools: running statements have `grace_s` seconds to end; returns how many were cancelled then."""
        with self._lock:
            self._closed = True
            engines = list(self._engines.values())
            self._engines.clear()
        return sum(close_engine(engine, grace_s=grace_s) for engine in engines)

    @property
    def users(self) -> SyncUsers:
        return self._repository(SyncUsers)

    @property
    def sessions(self) -> SyncSessions:
        return self._repository(SyncSessions)

    @property
    def conversations(self) -> SyncConversations:
        return self._repository(SyncConversations)

    @property
    def messages(self) -> SyncMessages:
        return self._repository(SyncMessages)

    @property
    def memories(self) -> SyncMemories:
        return self._repository(SyncMemories)

    @property
    def documents(self) -> SyncDocuments:
        return self._repository(SyncDocuments)

    @property
    def projects(self) -> SyncProjects:
        return self._repository(SyncProjects)

    @property
    def specializations(self) -> SyncSpecializations:
        return self._repository(SyncSpecializations)

    @property
    def adapters(self) -> SyncAdapters:
        return self._repository(SyncAdapters)

    @property
    def bulk(self) -> SyncBulk:
        return self._repository(SyncBulk)

    @property
    def _retriever(self) -> Retriever:
        engine = self._engine("read")
        if self._searching is None:
            self._searching = Retriever(
                engine, self.settings, encoder=_encoder_of(self._encoder), reranker=self._reranker
            )
        return self._searching

    def _repository(self, kind: Callable[..., R]) -> R:
        return kind(self._engine("write"), reader=self._engine("read"))

    def _engine(self, role: Role) -> Engine:
        with self._lock:
            _refuse_closed(self._closed)
            if role not in self._engines:
                with clear_connection_errors():
                    self._engines[role] = open_engine(self.settings, role)
            return self._engines[role]


class AsyncClient:
    """`Client` for one event loop: the same methods, to await; a cancelled task cancels its statement on the server.

    Open it by `async with AsyncClient() as client:`, or await `open()` and, in the end, `close()`.
    """

    def __init__(
        self,
        settings: Settings | str | URL | None = None,
        *,
        reranker: "Reranker | None" = None,
        encoder: "Encoder | None" = None,
    ) -> None:
        self.settings = _settings(settings)
        self._reranker = reranker
        self._encoder = encoder
        self._engines: dict[Role, AsyncEngine] = {}
        self._searching: AsyncRetriever | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {_place(self.settings)}{', closed' if self._closed else ''}>"

    async def open(self) -> None:
        """Make the pools ready; brings the database to the newest schema, and starts the embedded server when down."""
        _refuse_closed(self._closed)
        for role in ("read", "write"):
            if role not in self._engines:
                with clear_connection_errors():
                    self._engines[role] = await open_async_engine(self.settings, role)

    @overload
    async def search(self, query: Query, *, kinds: Literal["chunks"] = ..., **options: Unpack[Options]) -> Answer: ...

    @overload
    async def search(
        self, query: Query, *, kinds: Literal["messages"], **options: Unpack["MessageOptions"]
    ) -> "MessageAnswer": ...

    @overload
    async def search(
        self, query: Query, *, kinds: Literal["memories"], **options: Unpack["MemoryOptions"]
    ) -> "MemoryAnswer": ...

    @overload
    async def search(self, query: Query, *, kinds: "Sequence[Kind]", **options: Any) -> "AnyAnswer | MixedAnswer": ...

    async def search(self, query: Query, *, kinds: Any = "chunks", **options: Any) -> Any:
        return await self._retriever.search(query, kinds=kinds, **options)

    async def search_many(self, queries: Iterable[Query], **options: Unpack[Options]) -> list[Answer]:
        return await self._retriever.search_many(queries, **options)

    async def similar(
        self,
        chunk_id: UUID | None = None,
        *,
        document: tuple[str, str] | None = None,
        equal_texts: bool = False,
        **options: Unpack[Options],
    ) -> Answer:
        return await self._retriever.similar(chunk_id, document=document, equal_texts=equal_texts, **options)

    async def centroid(self, *, document: tuple[str, str] | None = None, **options: Unpack[Options]) -> list[float]:
        return await self._retriever.centroid(document=document, **options)

    async def aggregate(
        self, *, to: Query | None = None, nearest: int = 10, buckets: int = 20, **options: Unpack[Options]
    ) -> "Aggregate":
        return await self._retriever.aggregate(to=to, nearest=nearest, buckets=buckets, **options)

    async def explain(self, chunk_id: UUID) -> "Provenance":
        return await self._retriever.explain_hit(chunk_id)

    async def evaluate(
        self, queries: str | Path, *, project: str | None = None, mode: "Mode | None" = None
    ) -> "EvaluationReport":
        return await asyncio.to_thread(self._evaluate, queries, project, mode)

    async def health(self) -> "list[HealthCheck]":
        return await asyncio.to_thread(self._blocking().health)

    def pool_statistics(self) -> dict[Role, PoolStatistics]:
        return {role: pool_statistics(engine) for role, engine in self._engines.items()}

    async def close(self, grace_s: float = GRACE_S) -> int:
        self._closed = True
        engines = list(self._engines.values())
        self._engines.clear()
        return sum(await asyncio.gather(*(close_async_engine(engine, grace_s=grace_s) for engine in engines)))

    @property
    def users(self) -> Users:
        return self._repository(Users)

    @property
    def sessions(self) -> Sessions:
        return self._repository(Sessions)

    @property
    def conversations(self) -> Conversations:
        return self._repository(Conversations)

    @property
    def messages(self) -> Messages:
        return self._repository(Messages)

    @property
    def memories(self) -> Memories:
        return self._repository(Memories)

    @property
    def documents(self) -> Documents:
        return self._repository(Documents)

    @property
    def projects(self) -> Projects:
        return self._repository(Projects)

    @property
    def specializations(self) -> Specializations:
        return self._repository(Specializations)

    @property
    def adapters(self) -> Adapters:
        return self._repository(Adapters)

    @property
    def bulk(self) -> Bulk:
        return self._repository(Bulk)

    @property
    def _retriever(self) -> AsyncRetriever:
        engine = self._engine("read")
        if self._searching is None:
            self._searching = AsyncRetriever(
                engine, self.settings, encoder=_encoder_of(self._encoder), reranker=self._reranker
            )
        return self._searching

    def _blocking(self) -> Client:
        """For what works for minutes and would block the loop: the caller runs it in a thread."""
        return Client(self.settings, reranker=self._reranker, encoder=self._encoder)

    def _evaluate(self, queries: str | Path, project: str | None, mode: "Mode | None") -> "EvaluationReport":
        with self._blocking() as client:
            return client.evaluate(queries, project=project, mode=mode)

    def _repository(self, kind: Callable[..., R]) -> R:
        return kind(self._engine("write"), reader=self._engine("read"))

    def _engine(self, role: Role) -> "AsyncEngine":
        _refuse_closed(self._closed)
        if role not in self._engines:
            raise UsageError("the client is not open; use `async with AsyncClient() as client:`, or await its open().")
        return self._engines[role]


def _settings(given: Settings | str | URL | None) -> Settings:
    if given is None:
        return load_settings()
    if isinstance(given, Settings):
        return given
    if isinstance(given, URL):
        given = given.render_as_string(hide_password=False)
    if isinstance(given, str):
        return resolve_settings({"database_url": given})
    raise UsageError(f"a client takes a Settings, a database URL or nothing, not a {type(given).__name__}.")


def _place(settings: Settings) -> str:
    """Where the database is, without user and password."""
    if settings.database_url is None:
        return f"the embedded server in {settings.state_dir}"
    from rag_assets.db.connections.urls import database_url

    url = database_url(settings)
    return f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"


def _refuse_closed(closed: bool) -> None:
    if closed:
        raise UsageError("the client is closed; make another one.")


def _encoder_of(encoder: "Encoder | None") -> "Callable[[EmbeddingSpace], Encoder] | None":
    return None if encoder is None else lambda _space: encoder
