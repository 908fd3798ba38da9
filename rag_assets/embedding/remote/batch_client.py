"""The batch interface of an embedding server: files of requests, and batches that answer them within a day."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rag_assets.embedding.remote.answers import TextsRefusedError, UnavailableError, read_error
from rag_assets.embedding.remote.client import CONNECT_S, new_http_client, pause_s, translated_errors
from rag_assets.embedding.remote.endpoint import Endpoint
from rag_assets.errors import RefusedError, ServiceError

if TYPE_CHECKING:
    import httpx2

# The name under which a batch keeps our id in its metadata.
BATCH_MARK = "rag_assets_batch"
_WINDOW = "24h"
_REQUEST_PATH = "/v1/embeddings"
_PAGE = 100
_ENDED = {"completed": "fetched", "expired": "expired", "failed": "failed", "cancelled": "failed"}
# OpenAI's code for more tokens in open batches than it allows.
_QUEUE_IS_FULL = "token_limit_exceeded"


@dataclass(frozen=True, slots=True)
class RemoteBatchState:
    """What the server says of a batch; `ended` is the status that it has with us, None while the server works."""

    id: str
    ended: str | None
    error: str | None
    queue_is_full: bool
    expires_at: datetime | None
    input_file: str | None
    output_files: tuple[str, ...]

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> "RemoteBatchState":
        errors = found.get("errors")
        listed = errors.get("data") if isinstance(errors, Mapping) else errors
        first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], Mapping) else {}
        status = str(found.get("status"))
        said = first.get("message") or first.get("code")
        expires_at = found.get("expires_at")
        files = (found.get("output_file_id"), found.get("error_file_id"))
        return cls(
            id=str(found["id"]),
            ended=_ENDED.get(status),
            error=str(said) if said else "it was cancelled at the server" if status == "cancelled" else None,
            queue_is_full=first.get("code") == _QUEUE_IS_FULL,
            expires_at=datetime.fromtimestamp(expires_at, UTC) if isinstance(expires_at, int | float) else None,
            input_file=found.get("input_file_id"),
            output_files=tuple(file for file in files if file),
        )


class BatchClient:
    """Requests to `/v1/files` and `/v1/batches` of one server; repeated like those for vectors, where that is safe.

    Raises RefusedError for what must be changed, and ServiceError where the server does not answer.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        parts = urlsplit(endpoint.url)
        self._base = parts._replace(path=parts.path.removesuffix("/embeddings"))
        self._http = new_http_client(endpoint)

    def close(self) -> None:
        self._http.close()

    def upload(self, file: Path, name: str) -> str:
        """Send a file of requests; returns the server's name of it."""

        def send() -> "httpx2.Response":
            with file.open("rb") as content:
                return self._send(
                    "POST",
                    "/files",
                    data={"purpose": "batch"},
                    files={"file": (name, content, "application/jsonl")},
                )

        return str(self._json(self._repeated(send))["id"])

    def create(self, file_id: str, mark: str) -> RemoteBatchState:
        """Ask for the vectors of a file. Never repeated after the server may have accepted it.

        Raises ServiceError where it is not known whether it has.
        """
        body = {
            "input_file_id": file_id,
            "endpoint": _REQUEST_PATH,
            "completion_window": _WINDOW,
            "metadata": {BATCH_MARK: mark},
        }
        response = self._repeated(lambda: self._send("POST", "/batches", json=body), only_if_not_accepted=True)
        return RemoteBatchState.parse(self._json(response))

    def get(self, remote_id: str) -> RemoteBatchState | None:
        """The state of a batch, None for one that the server does not know."""
        response = self._repeated(lambda: self._send("GET", f"/batches/{remote_id}"), missing_is_fine=True)
        return None if response.status_code == 404 else RemoteBatchState.parse(self._json(response))

    def find(self, file_id: str, mark: str) -> RemoteBatchState | None:
        """The batch of this file, or with this mark, if the server has accepted one."""
        after = ""
        while True:
            address = f"/batches?limit={_PAGE}{f'&after={after}' if after else ''}"
            page = self._json(self._repeated(lambda address=address: self._send("GET", address)))  # type: ignore[misc]
            listed = [entry for entry in page.get("data") or () if isinstance(entry, Mapping)]
            for entry in listed:
                marks = entry.get("metadata")
                is_marked = isinstance(marks, Mapping) and marks.get(BATCH_MARK) == mark
                if is_marked or entry.get("input_file_id") == file_id:
                    return RemoteBatchState.parse(entry)
            if not page.get("has_more") or not listed:
                return None
            after = str(page.get("last_id") or listed[-1]["id"])

    def delete_file(self, file_id: str) -> None:
        """Delete a file; one that is not there any more is fine."""
        self._repeated(lambda: self._send("DELETE", f"/files/{file_id}"), missing_is_fine=True)

    def download(self, file_id: str, target: Path) -> bool:
        """Write the lines of a file; returns False where the server does not have it any more."""

        def send() -> "httpx2.Response":
            url = self._url(f"/files/{file_id}/content")
            with self._errors(), self._http.stream("GET", url, timeout=self._timeout) as found:
                if found.status_code != 200:
                    found.read()
                    return found
                last = b""
                with target.open("wb") as content:
                    for part in found.iter_bytes():
                        content.write(part)
                        last = (last + part).rpartition(b"\n")[2] if b"\n" in part.rstrip(b"\n") else last + part
                if last.strip() and not _is_json(last):
                    raise UnavailableError("the file was cut off")
                return found

        return self._repeated(send, missing_is_fine=True).status_code != 404

    @property
    def _timeout(self) -> Any:
        import httpx2

        return httpx2.Timeout(self.endpoint.limits.timeout_s, connect=CONNECT_S)

    def _url(self, path: str) -> str:
        path, _, query = path.partition("?")
        both = "&".join(part for part in (self._base.query, query) if part)
        return self._base._replace(path=self._base.path + path, query=both).geturl()

    def _send(self, method: str, path: str, **content: Any) -> "httpx2.Response":
        with self._errors():
            return self._http.request(method, self._url(path), timeout=self._timeout, **content)

    def _errors(self) -> AbstractContextManager[None]:
        return translated_errors(self.endpoint, UnavailableError("no answer in time"))

    def _repeated(
        self,
        send: "Callable[[], httpx2.Response]",
        *,
        missing_is_fine: bool = False,
        only_if_not_accepted: bool = False,
    ) -> "httpx2.Response":
        end = time.monotonic() + self.endpoint.limits.retry_s
        for attempt in count(1):
            accepted: bool | None = None
            try:
                response = send()
                if response.is_success or (missing_is_fine and response.status_code == 404):
                    return response
                # Only what was refused for being too much was certainly not accepted.
                accepted = False if response.status_code == 429 else None
                raise self._refusal(response)
            except UnavailableError as error:
                pause = pause_s(error, attempt)
                is_safe = not only_if_not_accepted or accepted is False or error.connecting
                if not is_safe or time.monotonic() + pause > end:
                    raise ServiceError(
                        f"{self.endpoint.shown}: the batch interface does not answer ({error.reason}); "
                        "run again later, which goes on where this run stopped."
                    ) from None
                time.sleep(pause)
        raise AssertionError

    def _refusal(self, response: "httpx2.Response") -> Exception:
        if response.status_code in (404, 405, 501):
            return RefusedError(
                f"{self.endpoint.shown} has no batch interface ({response.request.url.path}: {response.status_code}); "
                "unset RAG_ASSETS_EMBEDDING_BATCH."
            )
        error = read_error(self.endpoint, response.status_code, response.headers, response.content)
        if isinstance(error, TextsRefusedError):
            return RefusedError(f"{self.endpoint.shown}: the batch was refused: {error.reason}")
        return error

    def _json(self, response: "httpx2.Response") -> dict[str, Any]:
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServiceError(f"{self.endpoint.shown}: the batch interface answered without JSON; run again later.")
        return found


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
