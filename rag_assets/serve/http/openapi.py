"""The OpenAPI description: the schemas of bodies and answers, from their classes."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from rag_assets.search.analysis.provenance import Provenance
from rag_assets.search.kinds.memories import MemoryAnswer
from rag_assets.search.results import Answer
from rag_assets.serve.core.conversations import ServedConversation, ServedMemory, ServedMessage
from rag_assets.serve.core.documents import ServedDocument, ServedProject
from rag_assets.serve.http.bodies import BODIES

ANSWERS: tuple[type[Any], ...] = (
    Answer,
    Provenance,
    ServedDocument,
    ServedProject,
    ServedConversation,
    ServedMessage,
    ServedMemory,
    MemoryAnswer,
)
_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence: what is wrong, and what to do next."},
        "errors": {
            "type": "array",
            "description": "What is wrong in the body, by JSON pointers.",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_CODES = {
    "401": "No key, or one that is unknown, revoked or expired.",
    "403": "The key may not do this.",
    "404": "What the request names does not exist for this key.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "422": "A value cannot be used.",
    "400": "The body is no JSON.",
    "429": "Too many requests of this caller at a time.",
    "503": "The database, the model or a place in the queue is missing; try again.",
    "504": "The request took too long.",
}


def answer_schema(answer: type[Any] | str, *, key: str = "", status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: this answer, or an object with a list of it under `key`; and the problems."""
    name = answer if isinstance(answer, str) else answer.__name__
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{name}"}
    if key:
        schema = {
            "type": "object",
            "required": [key],
            "properties": {key: {"type": "array", "items": schema}},
        }
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    problems: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "content": problem} for code, text in sorted(_CODES.items())
    }
    return {status: {"description": "OK", "content": {"application/json": {"schema": schema}}}} | problems


def describe(app: FastAPI) -> None:
    """Make the description of the application one that has the schemas which its routes refer to."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(
                title="rag_assets",
                version=version("rag_assets"),
                description="Search documents, and keep conversations and memories. "
                "Errors are problem details (RFC 9457).",
                routes=app.routes,
            )
            components = found.setdefault("components", {})
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            components["schemas"] = components.get("schemas", {}) | _schemas()
            found["security"] = [{"key": []}]
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _schemas() -> dict[str, Any]:
    _, bodies = models_json_schema([(model, "validation") for model in BODIES], ref_template=_REF)
    adapters: list[Any] = [(answer.__name__, "serialization", TypeAdapter(answer)) for answer in ANSWERS]
    _, answers = TypeAdapter.json_schemas(adapters, ref_template=_REF)
    schemas: dict[str, Any] = bodies["$defs"] | answers["$defs"] | {"Problem": _PROBLEM}
    return schemas
