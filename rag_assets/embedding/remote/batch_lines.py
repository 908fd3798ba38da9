"""Lines of the files of a batch: one request for each text, and what the server answered to it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_assets.embedding.remote.answers import TextsRefusedError, read_error
from rag_assets.embedding.remote.dialects import DIALECTS, MalformedAnswerError
from rag_assets.embedding.remote.encoder import RemoteEncoder
from rag_assets.errors import RefusedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AnsweredLine:
    """The answer for the text with this hash: a vector, or the reason why the server refused the text, or neither.

    A text with neither is sent again; `error` then says why, and `blocks` that a setting must change first.
    """

    content_hash: bytes
    vector: "NDArray[np.float32] | None" = None
    tokens: int | None = None
    refusal: str | None = None
    error: str | None = None
    blocks: bool = False


def request_line(encoder: RemoteEncoder, content_hash: bytes, text: str) -> bytes:
    request = {
        "custom_id": content_hash.hex(),
        "method": "POST",
        "url": "/v1/embeddings",
        "body": encoder.document_request(text),
    }
    return json.dumps(request).encode() + b"\n"


def read_batch_answers(encoder: RemoteEncoder, file: Path) -> Iterator[AnsweredLine]:
    """The answers in a file of a batch; lines that answer no text of ours are left out."""
    with file.open("rb") as lines:
        for line in lines:
            try:
                found = json.loads(line)
                content_hash = bytes.fromhex(found["custom_id"])
            except (ValueError, TypeError, KeyError):
                continue
            yield _read_line(encoder, content_hash, found)


def _read_line(encoder: RemoteEncoder, content_hash: bytes, found: Mapping[str, Any]) -> AnsweredLine:
    response, error = found.get("response"), found.get("error")
    response = response if isinstance(response, Mapping) else {}
    status, body = response.get("status_code"), response.get("body")
    if status == 200:
        try:
            embedded = DIALECTS[encoder.endpoint.dialect].read(body, 1)
        except MalformedAnswerError as malformed:
            return AnsweredLine(content_hash, error=f"the server gave {malformed}")
        vector = embedded.vectors[0]
        if vector is None:
            return AnsweredLine(content_hash, tokens=embedded.tokens, refusal="the server gave no vector")
        return AnsweredLine(content_hash, encoder.scale(vector), embedded.tokens)
    if isinstance(status, int) and status >= 300:
        raised = read_error(encoder.endpoint, status, {}, json.dumps(body).encode())
        if isinstance(raised, TextsRefusedError):
            return AnsweredLine(content_hash, refusal=raised.reason)
        return AnsweredLine(content_hash, error=str(raised), blocks=isinstance(raised, RefusedError))
    said = error.get("message") or error.get("code") if isinstance(error, Mapping) else None
    return AnsweredLine(content_hash, error=encoder.endpoint.redact(str(said)) if said else "the server gave no answer")
