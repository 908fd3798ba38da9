"""Figures for Prometheus: of searches, requests, pools, and of the state of the live space."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from sqlalchemy import Connection
from starlette.responses import Response

from rag_assets.client import AsyncClient
from rag_assets.db.reports.remaining_work import remaining_work
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.repositories.audit.writer import AuditWriter
from rag_assets.repositories.base import Repository, async_method
from rag_assets.search.results import Answer
from rag_assets.serve.access.principal import ForbiddenError, Principal
from rag_assets.serve.http.admission import Admission

# The state of the space is counted in the database; for so long one count holds.
STATE_CACHED_S = 60.0
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_POOL_GAUGES = ("size", "maximum", "in_use", "idle", "waiting")
_POOL_COUNTERS = ("served", "timeouts", "opened", "recycled")


@dataclass(frozen=True, slots=True)
class SpaceState:
    """The live space: its number, when it was promoted, and what is missing in it."""

    space: int
    promoted_at: datetime | None
    documents: int
    texts: int


def read_space_state(connection: Connection) -> SpaceState | None:
    space = get_live_space(connection, "chunks")
    if space is None:
        return None
    left = remaining_work(connection, space)
    return SpaceState(space.id, space.promoted_at, left.documents, left.texts)


class SpaceStates(Repository):
    read_space_state = async_method(read_space_state, "read")


class Metrics:
    """The figures of one server. Names begin with `rag_assets_`."""

    def __init__(self, client: AsyncClient, admission: Admission) -> None:
        self._client = client
        self._admission = admission
        self._states = client.repository(SpaceStates)
        self._state: SpaceState | None = None
        self._audit: AuditWriter | None = None
        self._until = 0.0
        self.registry = CollectorRegistry()
        self._searches = Histogram(
            "rag_assets_search_seconds", "Time of searches.", ["mode"], buckets=_BUCKETS, registry=self.registry
        )
        self._steps = Histogram(
            "rag_assets_search_step_seconds",
            "Time of the steps of searches.",
            ["step"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._hits = Counter("rag_assets_search_hits", "Hits of searches.", ["mode"], registry=self.registry)
        self._requests = Counter(
            "rag_assets_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self.registry.register(self)

    def count_search(self, answer: Answer, seconds: float) -> None:
        self._searches.labels(answer.mode).observe(seconds)
        self._hits.labels(answer.mode).inc(len(answer.hits))
        for step, taken_ms in answer.timings.items():
            self._steps.labels(step).observe(taken_ms / 1000)

    def count_request(self, scope: Any, status: int) -> None:
        # The pattern of the route: addresses themselves would be labels without end.
        route = getattr(scope.get("route"), "path", None) or "other"
        self._requests.labels(route, str(status)).inc()

    def watch_audit(self, writer: AuditWriter | None) -> None:
        self._audit = writer

    async def text(self) -> bytes:
        if time.monotonic() >= self._until:
            self._state = await self._states.read_space_state()
            self._until = time.monotonic() + STATE_CACHED_S
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Any]:
        """What is read at the moment of the question."""
        yield _gauge("requests_running", "Requests that are worked on.", self._admission.running)
        yield _gauge("requests_waiting", "Requests that wait for their turn.", self._admission.waiting)
        if self._audit is not None:
            dropped = CounterMetricFamily("rag_assets_audit_dropped", "Entries of the audit that were lost.")
            dropped.add_metric([], self._audit.dropped)
            yield dropped
        pools = {role: asdict(figures) for role, figures in self._client.pool_statistics().items()}
        for name in _POOL_GAUGES:
            family = GaugeMetricFamily(f"rag_assets_pool_{name}", f"Of a pool of connections: {name}.", labels=["pool"])
            for role, figures in pools.items():
                family.add_metric([role], figures[name])
            yield family
        for name in _POOL_COUNTERS:
            counts = CounterMetricFamily(
                f"rag_assets_pool_{name}", f"Of a pool since its start: {name}.", labels=["pool"]
            )
            for role, figures in pools.items():
                counts.add_metric([role], figures[name])
            yield counts
        vectors = CounterMetricFamily(
            "rag_assets_query_vectors", "Vectors of queries, by where they came from.", labels=["source"]
        )
        for source, number in self._client.query_vectors().items():
            vectors.add_metric([source], number)
        yield vectors
        if self._state is not None:
            yield _gauge("live_space", "The number of the live space.", self._state.space)
            yield _gauge("documents_to_chunk", "Documents to split for the live space.", self._state.documents)
            yield _gauge("texts_to_embed", "Texts to embed for the live space.", self._state.texts)
            if self._state.promoted_at is not None:
                age_s = (datetime.now(UTC) - self._state.promoted_at).total_seconds()
                yield _gauge("space_age_seconds", "Time since the live space was promoted.", age_s)


def metrics_router(metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/metrics", responses={200: {"content": {"text/plain": {}}}}, response_class=Response)
    async def read_metrics(request: Request) -> Response:
        """Figures for Prometheus, for keys of all projects."""
        principal = request.scope["principal"]
        assert isinstance(principal, Principal)
        if principal.user is not None:
            raise ForbiddenError("figures are of all users, and this caller is one of them; ask with a key of no user.")
        if principal.projects is not None:
            raise ForbiddenError("figures are of all projects, and this key is for some; ask with another one.")
        return Response(await metrics.text(), media_type="text/plain; version=0.0.4")

    return router


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"rag_assets_{name}", text, value)
