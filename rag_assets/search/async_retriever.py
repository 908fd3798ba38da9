"""The retriever for an event loop; it runs the sync retriever in a greenlet."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload
from uuid import UUID

from rag_assets.db.access.viewer import Viewer
from rag_assets.db.connections.sqlalchemy_internals import greenlet_spawn
from rag_assets.search.analysis.aggregates import Aggregate
from rag_assets.search.analysis.provenance import Provenance
from rag_assets.search.execution.concurrency import LoopConcurrency
from rag_assets.search.execution.query_embedding import MakeEncoder
from rag_assets.search.ranking.rerank import Reranker
from rag_assets.search.replicated_retriever import ReplicatedRetriever
from rag_assets.search.request import Options, Query
from rag_assets.search.results import Answer
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.search.execution.replica import ReplicaMonitor
    from rag_assets.search.kinds.dispatch import AnyAnswer, MixedAnswer
    from rag_assets.search.kinds.memories import MemoryAnswer, MemoryOptions
    from rag_assets.search.kinds.messages import MessageAnswer, MessageOptions
    from rag_assets.search.kinds.tables import TableAnswer, TableOptions


class AsyncRetriever:
    """`Retriever` for an event loop: its methods do and raise what those of `Retriever` do.

    A cancelled task, also one that `asyncio.timeout` cancels, cancels its statement on the server. The model runs in a
    thread, so that the loop goes on. `engine`: best `await shared_async_engine(settings, "read")`.
    """

    def __init__(
        self,
        engine: "AsyncEngine",
        settings: Settings | None = None,
        *,
        ef_search: int | None = None,
        encoder: MakeEncoder | None = None,
        reranker: Reranker | None = None,
        viewer: Viewer | None = None,
        replica: "tuple[AsyncEngine, ReplicaMonitor] | None" = None,
    ) -> None:
        options: dict[str, Any] = {
            "ef_search": ef_search,
            "encoder": encoder,
            "reranker": reranker,
            "concurrency": LoopConcurrency(),
            "viewer": viewer,
        }
        if replica is None:
            self._retriever = Retriever(engine.sync_engine, settings, **options)
        else:
            other, monitor = replica
            self._retriever = ReplicatedRetriever(engine.sync_engine, other.sync_engine, monitor, settings, **options)

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
        return await greenlet_spawn(partial(self._retriever.search, query, kinds=kinds, **options))

    async def search_many(self, queries: Iterable[Query], **options: Unpack[Options]) -> list[Answer]:
        return await greenlet_spawn(self._retriever.search_many, queries, **options)

    async def similar(
        self,
        chunk_id: UUID | None = None,
        *,
        document: tuple[str, str] | None = None,
        equal_texts: bool = False,
        **options: Unpack[Options],
    ) -> Answer:
        return await greenlet_spawn(
            self._retriever.similar, chunk_id, document=document, equal_texts=equal_texts, **options
        )

    async def centroid(self, *, document: tuple[str, str] | None = None, **options: Unpack[Options]) -> list[float]:
        return await greenlet_spawn(self._retriever.centroid, document=document, **options)

    async def aggregate(
        self, *, to: Query | None = None, nearest: int = 10, buckets: int = 20, **options: Unpack[Options]
    ) -> Aggregate:
        return await greenlet_spawn(self._retriever.aggregate, to=to, nearest=nearest, buckets=buckets, **options)

    async def warm_up(self) -> None:
        await greenlet_spawn(self._retriever.warm_up)

    def query_vectors(self) -> dict[str, int]:
        return self._retriever.query_vectors()

    async def search_messages(self, query: Query, **options: Unpack["MessageOptions"]) -> "MessageAnswer":
        return await greenlet_spawn(self._retriever.search_messages, query, **options)

    async def search_memories(self, query: Query, **options: Unpack["MemoryOptions"]) -> "MemoryAnswer":
        return await greenlet_spawn(self._retriever.search_memories, query, **options)

    async def search_table(self, kind: str, query: Query, **options: Unpack["TableOptions"]) -> "TableAnswer":
        return await greenlet_spawn(partial(self._retriever.search_table, kind, query, **options))

    async def explain_hit(self, chunk_id: UUID) -> Provenance:
        return await greenlet_spawn(self._retriever.explain_hit, chunk_id)
