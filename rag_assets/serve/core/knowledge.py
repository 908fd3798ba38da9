"""Search, documents and projects, as a principal may see them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from rag_assets.client import AsyncClient
from rag_assets.db.access.viewer import viewing_as
from rag_assets.documents.text import is_text
from rag_assets.errors import NotFoundError
from rag_assets.repositories.audit.trail import AuditTrail, add_hits
from rag_assets.search.analysis.provenance import Provenance
from rag_assets.search.request import Query
from rag_assets.search.results import Answer
from rag_assets.serve.access.principal import Principal
from rag_assets.serve.core.documents import ListedDocument, ServedDocument, ServedDocuments, ServedProject

MAX_DOCUMENT_CHARS = 1_000_000


class Knowledge:
    """The reads of a client, each for a principal."""

    def __init__(
        self,
        client: AsyncClient,
        on_search: Callable[[Answer, float], None] | None = None,
        audit: AuditTrail | None = None,
    ) -> None:
        """`on_search` is told each answer of a search, with its seconds; `audit` records each request."""
        self._client = client
        self._audit = audit or AuditTrail()
        self._on_search = on_search or _ignore
        self._documents = client.repository(ServedDocuments)

    async def search(self, principal: Principal, query: Query, options: dict[str, Any]) -> Answer:
        started = time.perf_counter()
        with (
            self._audit.watch(principal.audited, "search", options, query=query) as found,
            viewing_as(principal.viewer),
        ):
            answer: Answer = await self._client.search(query, **principal.narrow(options))
            add_hits(found, answer)
        self._on_search(answer, time.perf_counter() - started)
        return answer

    async def search_many(
        self, principal: Principal, queries: Sequence[Query], options: dict[str, Any]
    ) -> list[Answer]:
        started = time.perf_counter()
        audited = self._audit.watch_many(principal.audited, "search", queries, options)
        with audited as requests, viewing_as(principal.viewer):
            answers = await self._client.search_many(queries, **principal.narrow(options))
            for request, answer in zip(requests, answers, strict=True):
                add_hits(request, answer)
        for answer in answers:
            self._on_search(answer, (time.perf_counter() - started) / len(answers))
        return answers

    async def similar(
        self,
        principal: Principal,
        options: dict[str, Any],
        *,
        chunk_id: UUID | None = None,
        document: tuple[str, str] | None = None,
        equal_texts: bool = False,
    ) -> Answer:
        with self._audit.watch(principal.audited, "similar", options) as found:
            answer = await self._similar(principal, options, chunk_id, document, equal_texts)
            add_hits(found, answer)
        return answer

    async def _similar(
        self,
        principal: Principal,
        options: dict[str, Any],
        chunk_id: UUID | None,
        document: tuple[str, str] | None,
        equal_texts: bool,
    ) -> Answer:
        narrowed = principal.narrow(options)
        if chunk_id is not None and principal.projects is not None:
            with viewing_as(principal.viewer):
                project = await self._documents.project_of_chunk(chunk_id)
            if project is None or not principal.may_read(project):
                raise _missing_chunk(chunk_id)
        if document is not None:
            principal.check_projects([document[0]])
        try:
            with viewing_as(principal.viewer):
                return await self._client.similar(chunk_id, document=document, equal_texts=equal_texts, **narrowed)
        except NotFoundError:
            if chunk_id is not None and principal.projects is None:
                # Of the chunk or of a project, which this principal may all know.
                raise
            if document is not None:
                raise _missing_document(f"{document[0]}/{document[1]}") from None
            assert chunk_id is not None
            raise _missing_chunk(chunk_id) from None

    async def explain(self, principal: Principal, chunk_id: UUID) -> Provenance:
        with self._audit.watch(principal.audited, "explain") as request:
            try:
                with viewing_as(principal.viewer):
                    found = await self._client.explain(chunk_id)
            except NotFoundError:
                raise _missing_chunk(chunk_id) from None
            if principal.projects is not None and found.project not in principal.projects:
                raise _missing_chunk(chunk_id)
            request.documents = [found.document_id]
        # An address of this machine or of a bucket is for those who run the server.
        return found if principal.is_owner else replace(found, source_uri="")

    async def document(
        self, principal: Principal, document_id: UUID, char_start: int = 0, char_end: int | None = None
    ) -> ServedDocument:
        """The document with its text from `char_start` to `char_end`, `MAX_DOCUMENT_CHARS` at most."""
        last = char_start + MAX_DOCUMENT_CHARS
        end = last if char_end is None else min(char_end, last)
        with self._audit.watch(principal.audited, "document") as request:
            with viewing_as(principal.viewer):
                found = await self._documents.read_served_document(document_id, char_start, end)
            if found is None or not principal.may_read(found[0]):
                raise _missing_document(str(document_id))
            request.documents = [document_id]
        return found[1]

    async def document_by_path(
        self,
        principal: Principal,
        project: str,
        file_path: str,
        char_start: int = 0,
        char_end: int | None = None,
    ) -> ServedDocument:
        principal.check_projects([project])
        # PostgreSQL does not even accept characters that no stored path has.
        storable = is_text(project) and is_text(file_path)
        with viewing_as(principal.viewer):
            document_id = await self._documents.find_document_id(project, file_path) if storable else None
        if document_id is None:
            raise _missing_document(f"{project}/{file_path}")
        return await self.document(principal, document_id, char_start, char_end)

    async def documents(self, principal: Principal, after: UUID | None, limit: int) -> list[ListedDocument]:
        """Documents in the order of their ids, from the one after `after` on."""
        projects = None if principal.projects is None else list(principal.projects.values())
        with viewing_as(principal.viewer):
            return await self._documents.list_documents(projects, after, limit)

    async def projects(self, principal: Principal) -> list[ServedProject]:
        with viewing_as(principal.viewer):
            found = await self._documents.list_projects()
        return [project for id_, project in found if principal.may_read(id_)]


def _missing_chunk(chunk_id: UUID) -> NotFoundError:
    return NotFoundError(f"there is no chunk {chunk_id}: it was changed or deleted since it was found; search again.")


def _missing_document(name: str) -> NotFoundError:
    return NotFoundError(f"there is no document {name!r}; take the document_id, or project and file_path, of a hit.")


def _ignore(_answer: Answer, _seconds: float) -> None:
    """Nobody wants to know."""
