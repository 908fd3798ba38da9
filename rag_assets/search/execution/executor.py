"""Requests of a retriever, answered in one space: asked, searched, finished, and said how."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from rag_assets.db.connections.execute import StatementRunner
from rag_assets.db.models import EmbeddingSpace
from rag_assets.search.execution.concurrency import Waiting
from rag_assets.search.execution.coverage import Completeness
from rag_assets.search.execution.live_space import Live
from rag_assets.search.execution.modes import FUSED_DEPTH, Found, find_all, kept, measured
from rag_assets.search.execution.postprocess import finish, reranked
from rag_assets.search.execution.query_embedding import Asking
from rag_assets.search.execution.read_session import Reader
from rag_assets.search.ranking.rerank import Reranker
from rag_assets.search.request import Request
from rag_assets.search.results import Answer
from rag_assets.search.vector.nearest import Nearest
from rag_assets.search.vector.selectivity import Counts

T = TypeVar("T")


class Answering:
    """What all searches of a retriever share; each is told its space, since another may become the live one."""

    def __init__(
        self,
        reader: Reader,
        waiting: Waiting,
        live: Live,
        asking: Asking,
        counts: Counts,
        *,
        ef_search: int | None,
        reranker: Reranker | None,
    ) -> None:
        self._reader = reader
        self._waiting = waiting
        self._live = live
        self._asking = asking
        self._counts = counts
        self._completeness = Completeness(reader)
        self._ef_search = ef_search
        self._reranker = reranker

    def answers(self, space: EmbeddingSpace, requests: Sequence[Request]) -> list[Answer]:
        """In order; the requests differ in their questions alone."""
        first = requests[0]
        if not self._live.knows(first.filters.projects):
            self._reader.read(lambda connection: self._live.check_projects(connection, first.filters.projects))
        embedded = [self._asking.vector(self._live, space, request) for request in requests]
        ef_search = self.graph_width(space, first)
        asked = [(request, vector) for request, (vector, _) in zip(requests, embedded, strict=True)]

        def search(connection: StatementRunner) -> list[Found]:
            found = find_all(connection, space, asked, ef_search, self._counts)
            if not all(one.hits for one in found):
                self._live.confirm(connection, space)
            return found

        started = time.perf_counter()
        if first.is_plain:
            found = self._reader.read_single(search)
        else:
            found = self._reader.read(search, timeout_s=first.timeout_s, transaction=True)
        if first.filters.projects and not all(one.hits for one in found):
            self._reader.read(partial(self._live.check_projects, names=first.filters.projects, anew=True))
        took_ms = (time.perf_counter() - started) * 1000 / len(requests)
        return [
            self._answer(space, request, one, took_ms, embedding_ms, ef_search)
            for request, one, (_, embedding_ms) in zip(requests, found, embedded, strict=True)
        ]

    def similar(
        self,
        space: EmbeddingSpace,
        request: Request,
        nearest: Callable[[Connection, EmbeddingSpace], Nearest],
    ) -> Answer:
        started = time.perf_counter()
        found = kept(request, measured(space, request, self.in_transaction(space, request, nearest)))
        took_ms = (time.perf_counter() - started) * 1000
        return self._answer(space, request, found, took_ms, 0.0, self.graph_width(space, request))

    def in_transaction(
        self, space: EmbeddingSpace, request: Request, work: Callable[[Connection, EmbeddingSpace], T]
    ) -> T:
        def checked(connection: Connection) -> T:
            self._live.confirm(connection, space)
            return work(connection, space)

        return self._reader.read(checked, timeout_s=request.timeout_s, transaction=True)

    def _answer(
        self,
        space: EmbeddingSpace,
        request: Request,
        found: Found,
        took_ms: float,
        embedding_ms: float,
        ef_search: int,
    ) -> Answer:
        candidates, rerank_ms = reranked(self._waiting, self._reranker, request, found.hits)
        started = time.perf_counter()
        chosen = finish(self._reader, space, request, candidates)
        took_ms += (time.perf_counter() - started) * 1000
        return Answer(
            query=request.text,
            mode=request.mode,
            space=space.id,
            hits=chosen,
            took_ms=round(took_ms, 2),
            embedding_ms=round(embedding_ms, 2),
            rerank_ms=round(rerank_ms, 2),
            plan=found.plan,
            considered=found.considered,
            ef_search=ef_search if "index" in found.plan else None,
            degraded=self._completeness.of(space),
        )

    def graph_width(self, space: EmbeddingSpace, request: Request) -> int:
        deep = max(request.deep, FUSED_DEPTH) if request.mode == "hybrid" else request.deep
        return min(1000, max(deep, request.ef_search or self._ef_search or space.ef_search))
