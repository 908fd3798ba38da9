"""Spans of OpenTelemetry, for applications that collect them, and the times of a search's steps.

Only the API is used, and only where the application has imported it and set a provider: else a span costs a look into a
dictionary.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_NO_SPAN: AbstractContextManager[Any] = nullcontext()


def span(name: str, **attributes: str | int | float | bool) -> AbstractContextManager[Any]:
    """A span that is the current one inside `with`; nothing where nobody collects spans."""
    tracer = _find_tracer()
    if tracer is None:
        return _NO_SPAN
    prefixed = {f"rag_assets.{key}": value for key, value in attributes.items()}
    found: AbstractContextManager[Any] = tracer.start_as_current_span(f"rag_assets.{name}", attributes=prefixed)
    return found


class Step:
    """A step of a search: adds its milliseconds to `timings`, under the name of its span."""

    __slots__ = ("_name", "_span", "_started", "_timings")

    def __init__(self, timings: dict[str, float], name: str) -> None:
        self._timings = timings
        self._name = name

    def __enter__(self) -> None:
        self._span = span(self._name)
        self._span.__enter__()
        self._started = time.perf_counter()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        taken_ms = (time.perf_counter() - self._started) * 1000
        self._timings[self._name] = self._timings.get(self._name, 0.0) + taken_ms
        self._span.__exit__(kind, error, trace)


def traced_stage(name: str) -> Callable[[Callable[P, Iterator[T]]], Callable[P, Iterator[T]]]:
    """A span for a stage whose function yields batches, from the first to the last.

    It is never the current span: between batches, its consumer works.
    """

    def decorate(stage: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
        @wraps(stage)
        def run(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            tracer = _find_tracer()
            if tracer is None:
                yield from stage(*args, **kwargs)
                return
            started = tracer.start_span(f"rag_assets.{name}")
            try:
                yield from stage(*args, **kwargs)
            except Exception as error:
                started.record_exception(error)
                raise
            finally:
                started.end()

        return run

    return decorate


def _find_tracer() -> Any:
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    provider = api.get_tracer_provider()
    if isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider):
        return None
    return provider.get_tracer("rag_assets")
