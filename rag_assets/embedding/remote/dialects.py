"""What embedding servers are asked, and where they put the vectors: OpenAI's interface, Voyage's and Cohere's."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MalformedAnswerError(Exception):
    """An answer with status 200 that does not hold one vector for each text."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of one request in the order of its texts, None for a text without one, and the billed tokens."""

    vectors: "list[NDArray[np.float32] | None]"
    tokens: int | None


class OpenAIDialect:
    """`/v1/embeddings` as OpenAI defines it: also vLLM, TEI, Ollama, LM Studio, llama.cpp, infinity."""

    name: ClassVar[str] = "openai"
    url: ClassVar[str] = "https://api.openai.com/v1"
    # What is added to an address without a path.
    version: ClassVar[str] = "/v1"
    path: ClassVar[str] = "/embeddings"
    # text-embeddings-inference refuses more than 32 texts unless it is told otherwise.
    request_texts: ClassVar[int] = 32
    document_type: ClassVar[str | None] = None
    query_type: ClassVar[str | None] = None

    def body(
        self, model: str, texts: Sequence[str], *, input_type: str | None, shortened: int | None
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"model": model, "input": list(texts)}
        if input_type is not None:
            body["input_type"] = input_type
        if shortened is not None:
            body["dimensions"] = shortened
        return body

    def read(self, answer: Any, number: int) -> Embedded:
        """Raises MalformedAnswerError for anything but one entry for each text."""
        if not isinstance(answer, Mapping) or not isinstance(data := answer.get("data"), list):
            raise MalformedAnswerError("an answer without vectors")
        if len(data) != number:
            raise MalformedAnswerError(f"{len(data)} vectors for {number} texts")
        if not all(isinstance(entry, Mapping) for entry in data):
            raise MalformedAnswerError("entries without vectors")
        usage = answer.get("usage")
        usage = usage if isinstance(usage, Mapping) else {}
        return Embedded(
            [read_vector(entry.get("embedding")) for entry in _in_order(data)],
            read_tokens(usage.get("total_tokens", usage.get("prompt_tokens"))),
        )


class VoyageDialect(OpenAIDialect):
    name = "voyage"
    url = "https://api.voyageai.com/v1"
    request_texts = 128
    document_type = "document"
    query_type = "query"

    def body(
        self, model: str, texts: Sequence[str], *, input_type: str | None, shortened: int | None
    ) -> dict[str, Any]:
        # Without `truncation` an over-long text is refused, instead of losing its end.
        body: dict[str, Any] = {"model": model, "input": list(texts), "truncation": False}
        if input_type is not None:
            body["input_type"] = input_type
        if shortened is not None:
            body["output_dimension"] = shortened
        return body


class CohereDialect(OpenAIDialect):
    name = "cohere"
    url = "https://api.cohere.com/v2"
    version = "/v2"
    path = "/embed"
    request_texts = 96
    document_type = "search_document"
    query_type = "search_query"

    def body(
        self, model: str, texts: Sequence[str], *, input_type: str | None, shortened: int | None
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "texts": list(texts),
            "embedding_types": ["float"],
            "truncate": "NONE",
        }
        if input_type is not None:
            body["input_type"] = input_type
        if shortened is not None:
            body["output_dimension"] = shortened
        return body

    def read(self, answer: Any, number: int) -> Embedded:
        found = answer.get("embeddings") if isinstance(answer, Mapping) else None
        if isinstance(found, Mapping):
            found = found.get("float", found.get("float_"))
        if not isinstance(found, list):
            raise MalformedAnswerError("an answer without vectors")
        if len(found) != number:
            raise MalformedAnswerError(f"{len(found)} vectors for {number} texts")
        meta = answer.get("meta")
        billed = meta.get("billed_units") if isinstance(meta, Mapping) else None
        tokens = read_tokens(billed.get("input_tokens")) if isinstance(billed, Mapping) else None
        return Embedded([read_vector(vector) for vector in found], tokens)


DIALECTS = {dialect.name: dialect for dialect in (OpenAIDialect(), VoyageDialect(), CohereDialect())}


def _in_order(data: Sequence[Any]) -> list[Any]:
    """The entries in the order of their `index`; as they stand where none has one."""
    indexes = [entry.get("index") for entry in data]
    if all(index is None for index in indexes):
        return list(data)
    if any(type(index) is not int for index in indexes) or sorted(indexes) != list(range(len(data))):
        raise MalformedAnswerError("indexes that do not number the texts")
    return [entry for _, entry in sorted(zip(indexes, data, strict=True), key=lambda pair: pair[0])]


def read_vector(value: Any) -> "NDArray[np.float32] | None":
    """A list of numbers, or base64 of little-endian float32; None for anything else. A null among numbers is NaN."""
    import numpy as np

    # Numbers beyond float32 become infinite, which the caller refuses with the reason.
    with np.errstate(over="ignore"):
        try:
            if isinstance(value, str):
                return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float32)
            if not isinstance(value, list) or not value:
                return None
            vector: NDArray[np.float32] = np.asarray(value, dtype=np.float64).astype(np.float32)
        except (TypeError, ValueError, OverflowError):
            return None
    return vector if vector.ndim == 1 else None


def read_tokens(value: Any) -> int | None:
    valid = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
    return round(value) if valid else None
