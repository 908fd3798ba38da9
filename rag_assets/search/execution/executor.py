"""Answers requests in one space: embed the query, search, post-process."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rag_assets.db.connections.execute import StatementRunner
from rag_assets.db.index.knn import MAX_EF_SEARCH
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.vector_codec import PackedVector
from rag_assets.search.execution.concurrency import Concurrency
from rag_assets.search.execution.copies import FoundCopies
from rag_assets.search.execution.coverage import CoverageCheck
from rag_assets.search.execution.live_space import LiveSpaceCache
from rag_assets.search.execution.modes import EmbeddedRequest, ModeResult, search_in_mode, search_vectors
from rag_assets.search.execution.postprocess import complete_page, rerank_hits
from rag_assets.search.execution.query_embedding import QueryEmbedder
from rag_assets.search.execution.read_session import ReadSession
from rag_assets.search.ranking.rerank import Reranker
from rag_assets.search.request import SearchRequest
from rag_assets.search.results import Answer, Hit
from rag_assets.search.vector.nearest import KnnQuery, RowFilters
from rag_assets.search.vector.searchables import CHUNKS, Searchable
from rag_assets.search.vector.selectivity import SelectivityCache
from rag_assets.tracing import Step, span


@dataclass(frozen=True, slots=True)
class SearchContext:
    """What all searches of a retriever in one kind of space share."""

    session: ReadSession
    live: LiveSpaceCache
    embedder: QueryEmbedder
    selectivity: SelectivityCache
    ef_search: int | None

    def knn_query(
        self,
        space: EmbeddingSpace,
        request: SearchRequest,
        vector: PackedVector,
        filters: RowFilters | None = None,
        searchable: Searchable = CHUNKS,
    ) -> KnnQuery:
        """The vector search of a request; `filters` None are the request's own.

        `ef_search` is the request's, else the retriever's, else the space's, and at least the rows to find.
        """
        k = request.ranking_depth
        ef_search = request.ef_search or self.ef_search or space.ef_search
        return KnnQuery(
            space,
            vector,
            k,
            min(MAX_EF_SEARCH, max(k, ef_search)),
            request.distance or space.distance,
            request.exact,
            request.filters if filters is None else filters,
            searchable=searchable,
            rows_per_text="spare" if request.distinct and searchable is CHUNKS else "all",
        )


class SearchExecutor:
    """Answers requests for chunks. Each call names its space, since another may become the live one."""

    def __init__(self, context: SearchContext, concurrency: Concurrency, reranker: Reranker | None) -> None:
        self.context = context
        self._concurrency = concurrency
        self._reranker = reranker
        self._coverage = CoverageCheck(context.session)

    def answer(self, space: EmbeddingSpace, requests: Sequence[SearchRequest]) -> list[Answer]:
        """In the order of the requests, which differ in their queries alone."""
        with span("search", mode=requests[0].mode, k=requests[0].k, queries=len(requests)):
            return self._answer(space, requests)

    def _answer(self, space: EmbeddingSpace, requests: Sequence[SearchRequest]) -> list[Answer]:
        session, live = self.context.session, self.context.live
        first = requests[0]
        projects = first.filters.projects or ()
        if projects and not live.has_projects(projects):
            session.read(live.check_projects, projects)
        self.context.embedder.embed_ahead(space, requests)
        embedded = [self._embed(space, request) for request in requests]
        started = time.perf_counter()
        # The other modes send statements that belong together, and a time limit needs a transaction.
        is_single = first.offset == 0 and not first.exact and first.timeout_s is None
        if is_single and all(request.mode == "vector" for request in requests):
            results = session.read_statements(self._search, space, embedded)
        else:
            results = session.read(self._search, space, embedded, timeout_s=first.timeout_s, transaction=True)
        if projects and not all(result.hits for result in results):
            # The project may have been deleted since.
            session.read(live.check_projects, projects)
        took_ms = (time.perf_counter() - started) * 1000 / len(requests)
        return [self.finish(one, space, result, took_ms) for one, result in zip(embedded, results, strict=True)]

    def finish(self, embedded: EmbeddedRequest, space: EmbeddingSpace, result: ModeResult, took_ms: float) -> Answer:
        """Post-process the hits and rank them."""
        request, timings, session = embedded.request, embedded.timings, self.context.session
        hits = result.hits[: request.reach]
        rerank_ms = 0.0
        if request.min_score is not None:
            hits = [hit for hit in hits if hit.score >= request.min_score]
        if request.rerank:
            with Step(timings, "rerank"):
                hits = self._concurrency.run_blocking(rerank_hits, self._reranker, request, hits)
            rerank_ms = timings["rerank"]
        page = slice(request.offset, request.offset + request.k)
        copies = result.copies
        if request.mmr is not None or request.context or (copies and any(hit.chunk_id in copies for hit in hits[page])):
            with Step(timings, "finish"):
                hits = self._complete(space, request, hits, copies)
            took_ms += timings["finish"]
        else:
            hits = hits[page]
        for rank, hit in enumerate(hits, start=request.offset + 1):
            hit.rank = rank
        return Answer(
            query=request.text,
            mode=request.mode,
            space=space.id,
            hits=hits,
            took_ms=round(took_ms, 2),
            embedding_ms=round(embedded.embedding_ms, 2),
            rerank_ms=round(rerank_ms, 2),
            plan=result.plan,
            considered=result.considered,
            ef_search=embedded.query.ef_search if embedded.query and "index" in result.plan else None,
            # Its figures count the texts of all.
            degraded=self._coverage.degraded(space) if session.viewer is None else None,
            excluded=list(result.excluded),
            corrected=dict(result.corrected),
            timings={name: round(taken_ms, 3) for name, taken_ms in timings.items()},
        )

    def _complete(
        self, space: EmbeddingSpace, request: SearchRequest, hits: Sequence[Hit], copies: FoundCopies
    ) -> list[Hit]:
        session = self.context.session
        if copies or request.timeout_s is not None:
            return session.read(
                complete_page, space, request, hits, copies, timeout_s=request.timeout_s, transaction=True
            )
        # MMR and the context each take one statement.
        return session.read_statements(complete_page, space, request, hits, copies)

    def _embed(self, space: EmbeddingSpace, request: SearchRequest) -> EmbeddedRequest:
        if request.mode == "text":
            return EmbeddedRequest(request, None)
        context = self.context
        with span("embed"):
            vector, embedding_ms = context.embedder.embed(space, request, context.live)
        query = context.knn_query(space, request, vector)
        return EmbeddedRequest(request, query, embedding_ms, {"embed": embedding_ms})

    def _search(
        self, connection: StatementRunner, space: EmbeddingSpace, embedded: Sequence[EmbeddedRequest]
    ) -> list[ModeResult]:
        """The result of each request; vector searches share one statement where they can."""
        selectivity = self.context.selectivity
        results = search_vectors(connection, embedded) if len(embedded) > 1 else None
        if results is None:
            results = [search_in_mode(connection, space, one, selectivity) for one in embedded]
        if not all(result.hits for result in results):
            self.context.live.confirm(connection, space)
        return results
