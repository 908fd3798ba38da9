"""Requests to the embedding server, and its answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """`body` is the JSON of a request for vectors; `content` is the file of an upload, None of other requests."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    method: str = "POST"
    content: bytes | None = None

    @property
    def step(self) -> str:
        """What is asked for: `embed`, `upload`, `create`, `list`, `get`, `download` or `delete`."""
        parts = self.path.partition("?")[0].split("/")[2:]
        if self.method == "DELETE":
            return "delete"
        if self.method == "POST":
            return {"files": "upload", "batches": "create"}.get(parts[0], "embed")
        return "download" if parts[-1] == "content" else "get" if len(parts) > 1 else "list"

    @property
    def texts(self) -> list[str]:
        return list(self.body.get("texts") or self.body.get("input") or ())


@dataclass(frozen=True)
class Answer:
    """`cut` sends only so many bytes of the content that was announced; `reset` breaks the connection instead."""

    status: int = 200
    content: bytes | Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    reset: bool = False
    drip_s: float = 0.0

    @property
    def encoded(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()
