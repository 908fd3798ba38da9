"""A retriever that asks a read replica while that is fresh enough, and the primary otherwise."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from rag_assets.errors import RagAssetsError, ServiceError
from rag_assets.search.results import Answer
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from rag_assets.search.execution.replica import ReplicaMonitor


class ReplicatedRetriever(Retriever):
    """`Retriever` over two engines. `staleness_s` of an answer says that the replica gave it, and how old it may be.

    What fails on the replica is asked again of the primary: it may be down, or not have what was just written.
    """

    def __init__(
        self,
        engine: Engine,
        replica: Engine,
        monitor: "ReplicaMonitor",
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        super().__init__(engine, settings, **options)
        self._replica = Retriever(replica, settings, **options)
        self._monitor = monitor

    def search(self, query: Any, *, kinds: Any = "chunks", **options: Any) -> Any:
        return self._ask(Retriever.search, query, kinds=kinds, **options)

    def search_many(self, queries: Any, **options: Any) -> Any:
        # They may be asked twice.
        queries = list(queries) if isinstance(queries, Iterator) else queries
        return self._ask(Retriever.search_many, queries, **options)

    def similar(self, *args: Any, **options: Any) -> Any:
        return self._ask(Retriever.similar, *args, **options)

    def centroid(self, **options: Any) -> Any:
        return self._ask(Retriever.centroid, **options)

    def aggregate(self, **options: Any) -> Any:
        return self._ask(Retriever.aggregate, **options)

    def explain_hit(self, *args: Any) -> Any:
        return self._ask(Retriever.explain_hit, *args)

    def search_messages(self, *args: Any, **options: Any) -> Any:
        return self._ask(Retriever.search_messages, *args, **options)

    def search_memories(self, *args: Any, **options: Any) -> Any:
        return self._ask(Retriever.search_memories, *args, **options)

    def search_table(self, *args: Any, **options: Any) -> Any:
        return self._ask(Retriever.search_table, *args, **options)

    def _ask(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        staleness_s = self._monitor.staleness_s()
        if staleness_s is not None:
            try:
                return _with_staleness(method(self._replica, *args, **options), staleness_s)
            except (ServiceError, DBAPIError):
                self._monitor.report_failure()
            except RagAssetsError:
                # What it does not know yet, the primary may; a wrong query fails there too.
                pass
        return method(self, *args, **options)


def _with_staleness(answer: Any, staleness_s: float) -> Any:
    if isinstance(answer, list):
        return [_with_staleness(one, staleness_s) for one in answer]
    return replace(answer, staleness_s=round(staleness_s, 3)) if isinstance(answer, Answer) else answer
