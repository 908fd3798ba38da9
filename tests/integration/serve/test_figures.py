"""Figures for Prometheus, and spans of OpenTelemetry."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from tests.integration.serve.conftest import Asker

STEPS = {"embed", "vector", "keyword", "fuse"}


def test_searches_requests_pools_and_the_space_are_counted(asker: Asker) -> None:
    for mode in ("vector", "text", "hybrid", "hybrid"):
        assert asker.post("/v1/search", {"query": "whale", "mode": mode}).status_code == 200
    asker.post("/v1/search", {"query": ""})
    response = asker.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))
    assert lines['rag_assets_search_seconds_count{mode="hybrid"}'] == "2.0"
    assert lines['rag_assets_search_seconds_count{mode="text"}'] == "1.0"
    assert lines['rag_assets_search_step_seconds_count{step="keyword"}'] == "3.0"
    assert lines['rag_assets_requests_total{route="/v1/search",status="200"}'] == "4.0"
    assert lines['rag_assets_requests_total{route="/v1/search",status="422"}'] == "1.0"
    assert float(lines['rag_assets_pool_size{pool="read"}']) >= 1
    assert lines['rag_assets_query_vectors_total{source="model"}'] == "1.0"
    assert lines['rag_assets_query_vectors_total{source="memory"}'] == "2.0"
    assert lines["rag_assets_requests_running"] == "1.0"
    assert (lines["rag_assets_live_space"], lines["rag_assets_texts_to_embed"]) == ("1.0", "0.0")
    assert float(lines["rag_assets_space_age_seconds"]) > 0
    assert asker.get("/metrics", None).status_code == 401
    assert asker.get("/metrics", asker.key("zoo", projects=["zoo"])).status_code == 403


class RecordingTracer:
    """Stands for the SDK, which is not installed: keeps the names of spans, with their depth."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, str, dict[str, Any]]] = []
        self.depth = 0

    @contextmanager
    def start_as_current_span(self, name: str, attributes: dict[str, Any]) -> Iterator[None]:
        self.spans.append((self.depth, name, attributes))
        self.depth += 1
        yield
        self.depth -= 1


def test_spans_have_the_names_of_the_timings(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry import trace

    tracer = RecordingTracer()
    api = ModuleType("opentelemetry.trace")
    provider = type("Provider", (), {"get_tracer": lambda self, name: tracer})()
    vars(api).update(
        get_tracer_provider=lambda: provider,
        ProxyTracerProvider=trace.ProxyTracerProvider,
        NoOpTracerProvider=trace.NoOpTracerProvider,
    )
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", api)
    answer = asker.runner.run(asker.client.search("whale", k=3, context=1))
    assert answer.timings.keys() == STEPS | {"finish"}
    assert all(taken_ms >= 0 for taken_ms in answer.timings.values())
    attributes = {"rag_assets.mode": "hybrid", "rag_assets.k": 3, "rag_assets.queries": 1}
    assert tracer.spans[0] == (0, "rag_assets.search", attributes)
    assert {name for depth, name, _ in tracer.spans if depth == 1} == {f"rag_assets.{name}" for name in answer.timings}
    by_text = asker.runner.run(asker.client.search("whale", mode="text"))
    assert by_text.timings.keys() <= {"keyword", "finish"}
