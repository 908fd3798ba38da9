"""The arguments of tools, and what the tools return: JSON objects with citations."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import Field, model_validator

from rag_assets.errors import UsageError
from rag_assets.search.results import Answer, Degraded, Hit, Mode
from rag_assets.serve.http.bodies import Body, QueryText

DOCUMENT_URI = "rag-assets://documents/"
DOCUMENT_CHARS = 20_000


class ProjectSearchArguments(Body):
    query: QueryText
    """The question, or keywords. Keyword search finds only chunks with a "quoted phrase", none with -"another"."""
    k: int = Field(5, ge=1, le=100)
    """Hits wanted."""
    mode: Mode | None = None
    """vector (by meaning), text (keywords) or hybrid (both; the default)."""
    file_type: str | list[str] | None = None
    """Only files of these types, like markdown or pdf."""
    path_glob: str | None = None
    """Only files whose path matches: *.md, docs/**."""
    metadata: dict[str, Any] | None = None
    """Only documents with this metadata: {"year": {"$gte": 2020}}."""
    context: int = Field(0, ge=0, le=10)
    """Chunks before and after each hit to add."""


class SearchArguments(ProjectSearchArguments):
    project: str | list[str] | None = None
    """One project or several of list_projects; unset, all."""


class SimilarArguments(Body):
    chunk_id: UUID
    """The chunk_id of a hit."""
    k: int = Field(5, ge=1, le=100)
    """Hits wanted."""
    project: str | list[str] | None = None
    """One project or several; unset, all."""


class DocumentArguments(Body):
    document_id: UUID | None = None
    """The document_id of a hit; or give project and file_path."""
    project: str | None = None
    file_path: str | None = None
    char_start: int = Field(0, ge=0, le=2**31 - 1)
    """Where the text begins, like the char_start of a hit."""
    char_end: int | None = Field(None, ge=0, le=2**31 - 1)
    """Where it ends; unset, 20,000 characters later."""

    @model_validator(mode="after")
    def _check_key(self) -> "DocumentArguments":
        if (self.document_id is None) == (self.project is None or self.file_path is None):
            raise ValueError("give document_id, or project and file_path")
        return self


class NoArguments(Body):
    pass


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a text stands: `content[char_start:char_end]` of the document; `uri` is its resource."""

    project: str
    file_path: str
    title: str | None
    page: int | None
    heading_path: list[str]
    char_start: int
    char_end: int
    document_id: UUID
    chunk_id: UUID
    uri: str

    @classmethod
    def of(cls, hit: Hit) -> "Citation":
        return cls(
            hit.project,
            hit.file_path,
            hit.title,
            hit.page,
            hit.heading_path,
            hit.char_start,
            hit.char_end,
            hit.document_id,
            hit.chunk_id,
            f"{DOCUMENT_URI}{hit.document_id}",
        )


@dataclass(frozen=True, slots=True)
class CitedHit:
    """A hit: `text` is the chunk, or with `context` the chunk and its neighbours."""

    rank: int
    score: float
    text: str
    citation: Citation


@dataclass(frozen=True, slots=True)
class CitedAnswer:
    """Hits, best first; the other fields are those of `rag-assets search --json`."""

    hits: list[CitedHit]
    mode: Mode
    space: int
    degraded: Degraded | None
    excluded: list[str]
    corrected: dict[str, list[str]]

    @classmethod
    def of(cls, answer: Answer) -> "CitedAnswer":
        hits = [CitedHit(hit.rank, hit.score, _text(hit), Citation.of(hit)) for hit in answer.hits]
        return cls(hits, answer.mode, answer.space, answer.degraded, answer.excluded, answer.corrected)

    def __str__(self) -> str:
        """For a model that reads text."""
        parts = [
            f"[{hit.rank}] {hit.citation.project}/{hit.citation.file_path}"
            + (f", page {hit.citation.page}" if hit.citation.page is not None else "")
            + (f", {' / '.join(hit.citation.heading_path)}" if hit.citation.heading_path else "")
            + f" [{hit.citation.char_start}:{hit.citation.char_end}] document {hit.citation.document_id}\n{hit.text}"
            for hit in self.hits
        ]
        if self.degraded is not None:
            parts.append(f"{self.degraded.missing} of {self.degraded.texts} texts cannot be found by meaning now.")
        return "\n\n".join(parts) or "No hits."


def parse_document_uri(uri: str) -> UUID:
    try:
        if not uri.startswith(DOCUMENT_URI):
            raise ValueError
        return UUID(uri.removeprefix(DOCUMENT_URI))
    except ValueError:
        raise UsageError(f"{uri[:200]!r} is no document; its address is {DOCUMENT_URI}DOCUMENT_ID.") from None


def _text(hit: Hit) -> str:
    return hit.context or hit.embedded_text
