"""The bodies of requests: their types, for OpenAPI and for the check of what comes in."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from rag_assets.errors import UsageError, pydantic_message
from rag_assets.search.keyword.query_syntax import MAX_QUERY_CHARS, Operators
from rag_assets.search.request import MAX_CONTEXT, MAX_DIMENSIONS, MAX_HITS, MAX_REACH, Distance
from rag_assets.search.results import Mode
from rag_assets.serve.http.responses import problem

B = TypeVar("B", bound="Body")

_EXAMPLE_ID = "0a3f5e5e-6c57-5c0a-9a0e-3f3f2f7a6b1d"


class Body(BaseModel):
    """A JSON object without unknown names, whose values have the types that they should have."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    def given(self, *without: str) -> dict[str, Any]:
        """The values that the caller gave."""
        return {name: getattr(self, name) for name in self.model_fields_set if name not in without}


class SelectionBody(Body):
    project: str | list[str] | None = None
    """One project or several; unset, all that the key may read."""
    file_type: str | list[str] | None = None
    """Like markdown or pdf; one or several."""
    path_glob: str | None = None
    """A glob like a line of .gitignore: `*.md`, `docs/**`."""
    metadata: dict[str, Any] | None = Field(None, examples=[{"year": {"$gte": 2020}}])
    """Fields of the document's metadata with the values that they must have, or operators."""
    created_from: AwareDatetime | None = None
    created_to: AwareDatetime | None = None
    updated_from: AwareDatetime | None = None
    updated_to: AwareDatetime | None = None
    k: int = Field(10, ge=1, le=MAX_HITS)
    """Hits wanted."""
    min_score: float | None = None
    """Return no hit below it; its scale is that of the mode."""
    distance: Distance | None = None
    """Unset: that of the space."""
    exact: bool = False
    """Compare all vectors instead of walking the graph."""
    ef_search: int | None = Field(None, ge=1, le=1_000)
    """Candidates that the graph keeps."""
    mmr: float | None = Field(None, ge=0, le=1)
    """Weight of relevance against diversity."""
    context: int = Field(0, ge=0, le=MAX_CONTEXT)
    """Chunks before and after each hit to add as its `context`."""
    timeout_s: float | None = Field(None, ge=0.001, le=86_400)
    """Longest time of one statement in the database."""


class SearchOptionsBody(SelectionBody):
    offset: int = Field(0, ge=0, lt=MAX_REACH)
    """Hits to skip, for the next page."""
    distinct: bool = True
    """Of chunks with the same text, return the first, with the places of the others."""
    mode: Mode | None = None
    """vector, text (keyword search) or hybrid; unset, hybrid for a text and vector for a vector."""
    operators: Operators | None = None
    """What excludes in keyword search: -"quoted" phrases; all, also -words; none."""
    weights: tuple[float, float] | None = None
    """Of the vector and the keyword ranking in hybrid search."""
    rrf_constant: float | None = Field(None, ge=0, le=1e6)
    """Of reciprocal rank fusion in hybrid search."""
    rerank: int = Field(0, ge=0, le=MAX_HITS)
    """How many of the best hits the cross-encoder scores again."""


QueryText = Annotated[str, Field(max_length=MAX_QUERY_CHARS)]
Vector = Annotated[list[float], Field(max_length=MAX_DIMENSIONS)]


class SearchBody(SearchOptionsBody):
    """A search: the query with its options."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "How do I close a file?", "k": 5},
                {"query": 'with statement -"async with"', "project": "python-topics", "mode": "text"},
                {"query": "context managers", "path_glob": "*.md", "metadata": {"year": {"$gte": 2020}}, "context": 1},
            ]
        }
    )

    query: QueryText | Vector
    """A text, or a vector of the live space's model."""


class BatchBody(SearchOptionsBody):
    """Several searches with the same options."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"queries": ["How do I close a file?", "What is a context manager?"], "k": 3}]}
    )

    queries: list[QueryText | Vector] = Field(min_length=1)
    """Texts or vectors; the answers come in their order."""


class SimilarBody(SelectionBody):
    """Chunks similar to a chunk or to a document; give `chunk_id`, or `document`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"chunk_id": _EXAMPLE_ID, "k": 5},
                {"document": {"project": "python-topics", "file_path": "with.txt"}},
            ]
        }
    )

    chunk_id: UUID | None = None
    document: "DocumentKey | None" = None
    equal_texts: bool = False
    """Also chunks with the very same text."""


class DocumentKey(Body):
    project: str
    file_path: str


class ConversationBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Files", "project": "python-topics"}]})

    name: str
    project: str | None = None
    """A key for some projects names one of them."""
    user_id: UUID | None = None


class MessageBody(Body):
    role: str = Field(examples=["user"])
    """user, assistant, system or tool."""
    content: str
    token_count: int | None = Field(None, ge=0)
    """Unset: estimated."""
    tool_call_id: str | None = None
    tool_name: str | None = None
    model: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: AwareDatetime | None = None


class AppendBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"messages": [{"role": "user", "content": "How do I close a file?"}]}]}
    )

    messages: list[MessageBody] = Field(min_length=1)
    """All are appended, or none."""


class ForkBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 2, "name": "Another way"}]})

    version: int | None = Field(None, ge=1)
    """The last message that the fork shares; unset, all."""
    name: str | None = None
    user_id: UUID | None = None


class MemoryBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "Ada prefers short answers."}]})

    content: str
    project: str | None = None
    user_id: UUID | None = None
    specialization_id: UUID | None = None
    importance: float = Field(0.5, ge=0, le=1)
    source_message_id: UUID | None = None
    expires_at: AwareDatetime | None = None


class RecallBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "How should I answer?", "k": 3}]})

    query: QueryText
    project: str | None = None
    user_id: UUID | None = None
    specialization_id: UUID | None = None
    k: int = Field(10, ge=1, le=MAX_HITS)
    min_score: float | None = None
    weights: dict[str, float] | None = Field(None, examples=[{"relevance": 1, "importance": 1, "recency": 0}])
    """Of relevance, importance and recency, and decay_per_hour."""
    timeout_s: float | None = Field(None, ge=0.001, le=86_400)


BODIES: tuple[type[Body], ...] = (
    SearchBody,
    BatchBody,
    SimilarBody,
    ConversationBody,
    AppendBody,
    ForkBody,
    MemoryBody,
    RecallBody,
)


class BodyError(UsageError):
    """A body that is no JSON, or has wrong values; `response` says all of them."""

    def __init__(self, message: str, response: Response) -> None:
        super().__init__(message)
        self.response = response


async def parse_body(request: Request, model: type[B]) -> B:
    """The body of a request; raises BodyError."""
    body = await request.body()
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _body_error(error) from None


def _body_error(error: ValidationError) -> BodyError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        detail = f"the body is no JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}; send a JSON object."
        return BodyError(detail, problem(HTTPStatus.BAD_REQUEST, detail))
    errors = body_errors(error)
    first = errors[0]
    detail = f"{first['pointer'] or 'the body'}: {first['detail']}; correct it."
    return BodyError(detail, problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors))


def body_errors(error: ValidationError) -> list[dict[str, str]]:
    """What is wrong, each with its JSON pointer."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{"pointer": _pointer(one["loc"]), "detail": pydantic_message(one["msg"])} for one in found[:20]]


def _pointer(location: tuple[int | str, ...]) -> str:
    """A JSON pointer (RFC 6901), without the branches of unions that pydantic adds."""
    parts = [str(part) for part in location if not (isinstance(part, str) and ("[" in part or part in ("str", "int")))]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def body_schema(model: type[Body]) -> Mapping[str, Any]:
    """What FastAPI adds to an operation: the body, by its name among the schemas."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
