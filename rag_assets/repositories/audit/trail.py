"""What the audit records of a request."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from rag_assets.repositories.audit.entries import AuditedRequest
from rag_assets.repositories.audit.writer import AuditWriter

# A request of the server is recorded once, and not again as one of its client.
_is_watched: ContextVar[bool] = ContextVar("is_watched", default=False)


class AuditedCaller(NamedTuple):
    id: str
    name: str
    user: str | None = None


class AuditTrail:
    """Records the requests of one way in (`via`); nothing without a writer, no questions without `keeps_queries`."""

    def __init__(self, writer: AuditWriter | None = None, via: str = "http", *, keeps_queries: bool = False) -> None:
        self._writer = writer
        self._via = via
        self._keeps_queries = keeps_queries

    @contextmanager
    def watch(
        self, caller: AuditedCaller, operation: str, options: Mapping[str, Any] | None = None, *, query: object = None
    ) -> Iterator[AuditedRequest]:
        """Record what happens in the block, also how it fails; the block adds what was found."""
        with self.watch_many(caller, operation, [query], options) as [found]:
            yield found

    @contextmanager
    def watch_many(
        self, caller: AuditedCaller, operation: str, queries: Sequence[object], options: Mapping[str, Any] | None = None
    ) -> Iterator[list[AuditedRequest]]:
        """`watch` for queries that are answered together: each is an entry, with its share of the time."""
        found = [self._request(caller, operation, options or {}, query) for query in queries]
        is_outermost = not _is_watched.get()
        token = _is_watched.set(True)
        started = time.perf_counter()
        outcome = "ok"
        try:
            yield found
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            _is_watched.reset(token)
            if self._writer is not None and is_outermost:
                took_ms = (time.perf_counter() - started) * 1000
                for request in found:
                    request.outcome, request.duration_ms = outcome, took_ms / len(found)
                    self._writer.record(request)

    def _request(
        self, caller: AuditedCaller, operation: str, options: Mapping[str, Any], query: object
    ) -> AuditedRequest:
        wanted = options.get("project")
        return AuditedRequest(
            self._via,
            operation,
            caller.id,
            caller.name,
            caller.user,
            options.get("mode"),
            [wanted] if isinstance(wanted, str) else wanted,
            options.get("k"),
            query=query if self._keeps_queries and isinstance(query, str) else None,
        )


def add_hits(request: AuditedRequest, answer: Any) -> None:
    """Of an answer of a search; those over messages and memories have no documents."""
    request.mode, request.hits = getattr(answer, "mode", None), len(answer.hits)
    request.documents = list(dict.fromkeys(hit.document_id for hit in answer.hits if hasattr(hit, "document_id")))
