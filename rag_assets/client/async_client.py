"""The client for an event loop."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack, overload
from uuid import UUID

from sqlalchemy import URL

from rag_assets.client.base import GRACE_S, client_settings, database_place, encoder_factory, refuse_closed
from rag_assets.client.client import Client
from rag_assets.client.client_audit import ClientAudit
from rag_assets.db.access.viewer import Viewer
from rag_assets.db.connections.options import Role
from rag_assets.db.connections.pool import PoolStatistics, pool_statistics
from rag_assets.db.database import close_async_engine, new_async_engine, open_async_engine
from rag_assets.db.session.server_errors import explained_errors
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
    Users,
)
from rag_assets.repositories.base import read_for
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.search.request import Options, Query
from rag_assets.search.results import Answer
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from rag_assets.db.reports.health import HealthCheck
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.embedding.encoder import Encoder
    from rag_assets.search.analysis.aggregates import Aggregate
    from rag_assets.search.analysis.provenance import Provenance
    from rag_assets.search.evaluation.run import EvaluationReport
    from rag_assets.search.execution.replica import ReplicaMonitor
    from rag_assets.search.kinds.dispatch import AnyAnswer, MixedAnswer
    from rag_assets.search.kinds.memories import MemoryAnswer, MemoryOptions
    from rag_assets.search.kinds.messages import MessageAnswer, MessageOptions
    from rag_assets.search.ranking.rerank import Reranker
    from rag_assets.search.results import Mode

R = TypeVar("R")


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
        principal: Viewer | None = None,
    ) -> None:
        self.settings = client_settings(settings)
        self._reranker = reranker
        self._encoder = encoder
        self._principal = principal
        self._engines: dict[Role, AsyncEngine] = {}
        self._searching: AsyncRetriever | None = None
        self._replica: tuple[AsyncEngine, ReplicaMonitor] | None = None
        self._closed = False
        self._audit = ClientAudit(self.settings, principal)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {database_place(self.settings)}{', closed' if self._closed else ''}>"

    async def open(self) -> None:
        """Make the pools ready; brings the database to the newest schema, and starts the embedded server when down."""
        refuse_closed(self._closed)
        for role in ("read", "write"):
            if role not in self._engines:
                with explained_errors():
                    self._engines[role] = await open_async_engine(self.settings, role)
        if self.settings.replica_url is not None and self._replica is None:
            from rag_assets.search.execution.replica import ReplicaMonitor, replica_settings

            engine = await asyncio.to_thread(new_async_engine, replica_settings(self.settings), "read")
            self._replica = engine, ReplicaMonitor(self.settings)

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
        with self._audit.watch("search", [query], options) as answers:
            answers.append(await self._retriever.search(query, kinds=kinds, **options))
        return answers[0]

    async def search_many(self, queries: Iterable[Query], **options: Unpack[Options]) -> list[Answer]:
        if self.settings.audit != "all":
            return await self._retriever.search_many(queries, **options)
        given = list(queries)
        with self._audit.watch("search", given, options) as answers:
            answers += await self._retriever.search_many(given, **options)
        return answers

    async def similar(
        self,
        chunk_id: UUID | None = None,
        *,
        document: tuple[str, str] | None = None,
        equal_texts: bool = False,
        **options: Unpack[Options],
    ) -> Answer:
        with self._audit.watch("similar", [None], options) as answers:
            answers.append(
                await self._retriever.similar(chunk_id, document=document, equal_texts=equal_texts, **options)
            )
        answer: Answer = answers[0]
        return answer

    async def centroid(self, *, document: tuple[str, str] | None = None, **options: Unpack[Options]) -> list[float]:
        return await self._retriever.centroid(document=document, **options)

    async def aggregate(
        self, *, to: Query | None = None, nearest: int = 10, buckets: int = 20, **options: Unpack[Options]
    ) -> "Aggregate":
        return await self._retriever.aggregate(to=to, nearest=nearest, buckets=buckets, **options)

    async def explain(self, chunk_id: UUID) -> "Provenance":
        return await self._retriever.explain_hit(chunk_id)

    async def warm_up(self) -> None:
        await self._retriever.warm_up()

    async def evaluate(
        self, queries: str | Path, *, project: str | None = None, mode: "Mode | None" = None
    ) -> "EvaluationReport":
        return await asyncio.to_thread(self._evaluate, queries, project, mode)

    async def health(self) -> "list[HealthCheck]":
        return await asyncio.to_thread(self._blocking().health)

    def query_vectors(self) -> dict[str, int]:
        return self._retriever.query_vectors()

    def pool_statistics(self) -> dict[Role, PoolStatistics]:
        return {role: pool_statistics(engine) for role, engine in self._engines.items()}

    async def close(self, grace_s: float = GRACE_S) -> int:
        self._closed = True
        engines = list(self._engines.values())
        self._engines.clear()
        if self._replica is not None:
            replica, monitor = self._replica
            monitor.close()
            engines.append(replica)
        await asyncio.to_thread(self._audit.close)
        return sum(await asyncio.gather(*(close_async_engine(engine, grace_s=grace_s) for engine in engines)))

    @property
    def users(self) -> Users:
        return self.repository(Users)

    @property
    def sessions(self) -> Sessions:
        return self.repository(Sessions)

    @property
    def conversations(self) -> Conversations:
        return self.repository(Conversations)

    @property
    def messages(self) -> Messages:
        return self.repository(Messages)

    @property
    def memories(self) -> Memories:
        return self.repository(Memories)

    @property
    def documents(self) -> Documents:
        return self.repository(Documents)

    @property
    def projects(self) -> Projects:
        return self.repository(Projects)

    @property
    def specializations(self) -> Specializations:
        return self.repository(Specializations)

    @property
    def adapters(self) -> Adapters:
        return self.repository(Adapters)

    @property
    def bulk(self) -> Bulk:
        return self.repository(Bulk)

    @property
    def _retriever(self) -> AsyncRetriever:
        engine = self._engine("read")
        if self._searching is None:
            self._searching = AsyncRetriever(
                engine,
                self.settings,
                encoder=encoder_factory(self._encoder),
                reranker=self._reranker,
                viewer=self._principal,
                replica=self._replica,
            )
        return self._searching

    def _blocking(self) -> Client:
        """A blocking client for long work, which the caller runs in a thread."""
        return Client(self.settings, reranker=self._reranker, encoder=self._encoder, principal=self._principal)

    def _evaluate(self, queries: str | Path, project: str | None, mode: "Mode | None") -> "EvaluationReport":
        with self._blocking() as client:
            return client.evaluate(queries, project=project, mode=mode)

    def repository(self, kind: Callable[..., R]) -> R:
        """An instance of a `Repository` class, also one of your own, on the pools of this client."""
        made = kind(self._engine("write"), reader=self._engine("read"))
        if self._principal is not None:
            read_for(made, self._principal)
        return made

    def _engine(self, role: Role) -> "AsyncEngine":
        refuse_closed(self._closed)
        if role not in self._engines:
            raise UsageError("the client is not open; use `async with AsyncClient() as client:`, or await its open().")
        return self._engines[role]
