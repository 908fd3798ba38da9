"""The audit of a client's own searches, with RAG_ASSETS_AUDIT=all."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rag_assets.db.access.viewer import Viewer
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from rag_assets.repositories.audit.writer import AuditWriter


class ClientAudit:
    """Records searches in the background, from the first one on; nothing without the setting."""

    def __init__(self, settings: Settings, principal: Viewer | None) -> None:
        self._settings = settings
        self._user = None if principal is None else principal.user
        self._writer: AuditWriter | None = None

    @contextmanager
    def watch(self, operation: str, queries: Sequence[object], options: Mapping[str, Any]) -> Iterator[list[Any]]:
        """The block puts an answer for each query into the list."""
        answers: list[Any] = []
        if self._settings.audit != "all":
            yield answers
            return
        from rag_assets.repositories.audit.trail import AuditedCaller, AuditTrail, add_hits

        trail = AuditTrail(self._open(), "client", keeps_queries=self._settings.audit_queries)
        caller = AuditedCaller("client", self._user or "client", self._user)
        with trail.watch_many(caller, operation, queries, options) as requests:
            yield answers
            for request, answer in zip(requests, answers, strict=False):
                add_hits(request, answer)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _open(self) -> "AuditWriter":
        if self._writer is None:
            from rag_assets.db.database import writable_engine
            from rag_assets.repositories.audit.writer import AuditWriter

            self._writer = AuditWriter(lambda: writable_engine(self._settings))
        return self._writer
