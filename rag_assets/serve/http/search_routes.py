"""The routes of searches, documents and projects."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from rag_assets.errors import RagAssetsError, UsageError
from rag_assets.search.analysis.provenance import Provenance
from rag_assets.search.results import Answer
from rag_assets.serve.access.principal import Principal
from rag_assets.serve.core.documents import ServedDocument, ServedProject
from rag_assets.serve.core.knowledge import MAX_DOCUMENT_CHARS, Knowledge
from rag_assets.serve.http.bodies import BatchBody, SearchBody, SelectionBody, SimilarBody, body_schema, parse_body
from rag_assets.serve.http.gate import GateLimits
from rag_assets.serve.http.openapi import answer_schema
from rag_assets.serve.http.responses import json_response, problem_of

NDJSON = "application/x-ndjson"
# Queries that a streamed batch answers at a time: the first answers come early, and few statements are sent.
STREAMED_QUERIES = 16


def search_router(knowledge: Knowledge, limits: GateLimits) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["search"])

    @router.post("/search", responses=answer_schema(Answer), openapi_extra=dict(body_schema(SearchBody)))
    async def search(request: Request) -> Response:
        """The best hits for a query, with the fields of `rag-assets search --json`."""
        body = await parse_body(request, SearchBody)
        answer = await knowledge.search(principal_of(request), body.query, _options(body, limits, "query"))
        return json_response(answer)

    @router.post(
        "/search/batch", responses=answer_schema(Answer, key="answers"), openapi_extra=dict(body_schema(BatchBody))
    )
    async def search_batch(request: Request) -> Response:
        """An answer for each query, in their order; with `Accept: application/x-ndjson`, each in a line of its own."""
        body = await parse_body(request, BatchBody)
        if len(body.queries) > limits.max_queries:
            raise UsageError(f"there are {len(body.queries):,} queries; send {limits.max_queries:,} at most.")
        options = _options(body, limits, "queries")
        principal = principal_of(request)
        if NDJSON not in request.headers.get("accept", ""):
            return json_response({"answers": await knowledge.search_many(principal, body.queries, options)})
        parts = [body.queries[at : at + STREAMED_QUERIES] for at in range(0, len(body.queries), STREAMED_QUERIES)]
        # Before the status is sent: most errors are those of the first queries, too.
        first = await knowledge.search_many(principal, parts[0], options)
        return StreamingResponse(_lines(knowledge, principal, first, parts[1:], options), media_type=NDJSON)

    @router.post("/similar", responses=answer_schema(Answer), openapi_extra=dict(body_schema(SimilarBody)))
    async def similar(request: Request) -> Response:
        """The chunks most similar to a chunk, or to the average of a document."""
        body = await parse_body(request, SimilarBody)
        answer = await knowledge.similar(
            principal_of(request),
            _options(body, limits, "chunk_id", "document", "equal_texts"),
            chunk_id=body.chunk_id,
            document=None if body.document is None else (body.document.project, body.document.file_path),
            equal_texts=body.equal_texts,
        )
        return json_response(answer)

    @router.get("/documents/{document_id}", responses=answer_schema(ServedDocument))
    async def document(
        request: Request,
        document_id: UUID,
        char_start: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        char_end: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    ) -> Response:
        found = await knowledge.document(principal_of(request), document_id, char_start, char_end)
        return json_response(found)

    document.__doc__ = f"""A document with its text from `char_start` to `char_end`, {MAX_DOCUMENT_CHARS:,} characters
        at most."""

    @router.get("/chunks/{chunk_id}/explain", responses=answer_schema(Provenance))
    async def explain(request: Request, chunk_id: Annotated[UUID, Path()]) -> Response:
        """Where a chunk comes from: source, document, offsets, space, model, and the runs that wrote it."""
        return json_response(await knowledge.explain(principal_of(request), chunk_id))

    @router.get("/projects", responses=answer_schema(ServedProject, key="projects"))
    async def projects(request: Request) -> Response:
        """The projects that the key may read."""
        return json_response({"projects": await knowledge.projects(principal_of(request))})

    return router


def principal_of(request: Request) -> Principal:
    found = request.scope["principal"]
    assert isinstance(found, Principal)
    return found


def _options(body: SelectionBody, limits: GateLimits, *without: str) -> dict[str, Any]:
    if body.k > limits.max_k:
        raise UsageError(f"k is {body.k}; this server gives {limits.max_k} hits at most.")
    options = body.given(*without)
    if body.timeout_s is not None:
        options["timeout_s"] = min(body.timeout_s, limits.timeout_s)
    return {name: value for name, value in options.items() if value is not None}


async def _lines(
    knowledge: Knowledge,
    principal: Principal,
    first: Sequence[Answer],
    parts: Sequence[Sequence[Any]],
    options: dict[str, Any],
) -> AsyncIterator[bytes]:
    """A line for each answer. An error ends them with a line that has a problem as its `problem`."""
    for answer in first:
        yield orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE)
    try:
        for part in parts:
            for answer in await knowledge.search_many(principal, part, options):
                yield orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE)
    except RagAssetsError as error:
        problem = orjson.loads(problem_of(error).body)
        yield orjson.dumps({"problem": problem}, option=orjson.OPT_APPEND_NEWLINE)
