"""The client for code without an event loop."""

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack, overload
from uuid import UUID

from sqlalchemy import URL, Engine

from rag_assets.client.base import GRACE_S, client_settings, database_place, encoder_factory, refuse_closed
from rag_assets.client.client_audit import ClientAudit
from rag_assets.db.access.viewer import Viewer, viewing_as
from rag_assets.db.connections.options import Role
from rag_assets.db.connections.pool import PoolStatistics, pool_statistics
from rag_assets.db.database import close_engine, new_engine, open_engine
from rag_assets.db.session.server_errors import explained_errors
from rag_assets.repositories import (
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
)
from rag_assets.repositories.base import read_for
from rag_assets.search.replicated_retriever import ReplicatedRetriever
from rag_assets.search.request import Options, Query
from rag_assets.search.results import Answer
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
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


class Client:
    """Searches a database and stores what an application stores, from any number of threads.

    `settings` are a `Settings`, a database URL, or None for those of the environment; without a database URL the
    embedded server of the state folder serves, and is started when it is down. Nothing is connected before the first
    call. `reranker` takes the place of the cross-encoder that the settings name, `encoder` that of the live space's
    own model. With a `principal` the client only reads, and only what the principal may: the database enforces it (see
    `rag-assets db roles`).

    Close it when you are done, or use it as a context manager.
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
        self._engines: dict[Role, Engine] = {}
        self._searching: Retriever | None = None
        self._replica: tuple[Engine, ReplicaMonitor] | None = None
        self._lock = threading.RLock()
        self._closed = False
        self._audit = ClientAudit(self.settings, principal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {database_place(self.settings)}{', closed' if self._closed else ''}>"

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

        Options: `k`, `offset`, `distinct`, `mode` (vector, text, hybrid), `operators` (quoted, all, none), `filters` or
        the single filters (`project`, `file_type`, `path_glob`, `metadata`, `created_from` …), `min_score`, `weights`,
        `rrf_constant`, `distance`, `exact`, `ef_search`, `rerank`, `mmr`, `context`, `timeout_s`. `kinds` may name
        `messages`, `memories` or a table that another package registers (whose options are `TableOptions`), or
        several.

        Raises UsageError for a query or an option that cannot be, ServiceError while the database or the model is
        away, while no space is live, or when the search took longer than `timeout_s`.
        """
        with self._audit.watch("search", [query], options) as answers:
            answers.append(self._retriever.search(query, kinds=kinds, **options))
        return answers[0]

    def search_many(self, queries: Iterable[Query], **options: Unpack[Options]) -> list[Answer]:
        """One answer for each query, in order, with the same options for all; in one round trip where possible."""
        if self.settings.audit != "all":
            return self._retriever.search_many(queries, **options)
        given = list(queries)
        with self._audit.watch("search", given, options) as answers:
            answers += self._retriever.search_many(given, **options)
        return answers

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
        with self._audit.watch("similar", [None], options) as answers:
            answers.append(self._retriever.similar(chunk_id, document=document, equal_texts=equal_texts, **options))
        answer: Answer = answers[0]
        return answer

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

    def warm_up(self) -> None:
        """Load the live space's model now, so that the first search does not wait for it.

        Raises ServiceError while no space is live, and where the model cannot be loaded.
        """
        self._retriever.warm_up()

    def evaluate(
        self, queries: str | Path, *, project: str | None = None, mode: "Mode | None" = None
    ) -> "EvaluationReport":
        """How well searches find what evaluation queries ask for: nDCG@10, recall, MRR, latency.

        `queries` is a JSONL file (one a line: `{"query": …, "relevant": {"<file_path>": 1}}`) or a folder in BEIR's
        layout, local or behind a URL.
        """
        from rag_assets.search.evaluation.run import run_evaluation
        from rag_assets.search.evaluation.thresholds import read_queries_at

        with viewing_as(self._principal):
            return run_evaluation(
                self._engine("read"), self._retriever, read_queries_at(str(queries)), project=project, mode=mode
            )

    def health(self) -> "list[HealthCheck]":
        """Whether this installation can serve: connection, extension, schema, indexes, pool; raises nothing."""
        from rag_assets.db.reports.health import check_health
        from rag_assets.search.execution.replica import check_replica_health

        with self._lock:
            opened = self._engines.get("read")
        engine = opened or new_engine(self.settings, "read")
        try:
            return [*check_health(engine), *check_replica_health(self.settings, engine)]
        finally:
            if opened is None:
                engine.dispose()

    def query_vectors(self) -> dict[str, int]:
        """How many vectors of query texts came from memory, from the database, and from the model."""
        return self._retriever.query_vectors()

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
            if self._replica is not None:
                replica, monitor = self._replica
                monitor.close()
                engines.append(replica)
        self._audit.close()
        return sum(close_engine(engine, grace_s=grace_s) for engine in engines)

    @property
    def users(self) -> SyncUsers:
        return self.repository(SyncUsers)

    @property
    def sessions(self) -> SyncSessions:
        return self.repository(SyncSessions)

    @property
    def conversations(self) -> SyncConversations:
        return self.repository(SyncConversations)

    @property
    def messages(self) -> SyncMessages:
        return self.repository(SyncMessages)

    @property
    def memories(self) -> SyncMemories:
        return self.repository(SyncMemories)

    @property
    def documents(self) -> SyncDocuments:
        return self.repository(SyncDocuments)

    @property
    def projects(self) -> SyncProjects:
        return self.repository(SyncProjects)

    @property
    def specializations(self) -> SyncSpecializations:
        return self.repository(SyncSpecializations)

    @property
    def adapters(self) -> SyncAdapters:
        return self.repository(SyncAdapters)

    @property
    def bulk(self) -> SyncBulk:
        return self.repository(SyncBulk)

    @property
    def _retriever(self) -> Retriever:
        engine = self._engine("read")
        if self._searching is None:
            options: dict[str, Any] = {
                "encoder": encoder_factory(self._encoder),
                "reranker": self._reranker,
                "viewer": self._principal,
            }
            if self.settings.replica_url is None:
                self._searching = Retriever(engine, self.settings, **options)
            else:
                self._searching = ReplicatedRetriever(engine, *self._open_replica(), self.settings, **options)
        return self._searching

    def _open_replica(self) -> "tuple[Engine, ReplicaMonitor]":
        from rag_assets.search.execution.replica import ReplicaMonitor, replica_settings

        with self._lock:
            if self._replica is None:
                engine = new_engine(replica_settings(self.settings), "read")
                self._replica = engine, ReplicaMonitor(self.settings)
            return self._replica

    def repository(self, kind: Callable[..., R]) -> R:
        """An instance of a `SyncRepository` class, also one of your own, on the pools of this client."""
        made = kind(self._engine("write"), reader=self._engine("read"))
        if self._principal is not None:
            read_for(made, self._principal)
        return made

    def _engine(self, role: Role) -> Engine:
        with self._lock:
            refuse_closed(self._closed)
            if role not in self._engines:
                with explained_errors():
                    self._engines[role] = open_engine(self.settings, role)
            return self._engines[role]
