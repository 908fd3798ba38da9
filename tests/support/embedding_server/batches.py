"""`/v1/files` and `/v1/batches` of the embedding server: nothing is embedded before a test says that a batch ends."""

import json
import time
from collections.abc import Callable
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.embedding_server.messages import Answer, Request

PAGE = 2


class BatchInterface:
    """`sent` has the texts of all batches that were accepted, in order, and `files` what is stored."""

    def __init__(self, good_content: Callable[[Request], dict[str, Any]]) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.sent: list[str] = []
        self._good_content = good_content
        self._number = 0

    def answer(self, request: Request) -> Answer:
        parts = request.path.partition("?")[0].split("/")[2:]
        match request.step:
            case "upload":
                assert request.content is not None
                return Answer(content={"id": self._store(request.content), "object": "file"})
            case "create":
                return self._create(request.body)
            case "list":
                return self._list(request.path)
            case "delete":
                found = self.files.pop(parts[1], None)
                return Answer(content={"deleted": True}) if found is not None else _missing()
            case "download":
                return Answer(content=self.files[parts[1]]) if parts[1] in self.files else _missing()
        return Answer(content=self.batches[parts[1]]) if parts[1] in self.batches else _missing()

    def texts(self, batch_id: str) -> list[str]:
        return [text for line in self._lines(batch_id) for text in line["body"]["input"]]

    def complete(
        self, *, refuse: str | None = None, lose: str | None = None, status: str = "completed", error: Any = None
    ) -> None:
        """End all batches: texts with the marker `refuse` are refused, those with `lose` get no answer in time."""
        for batch in self.batches.values():
            if batch["status"] != "in_progress":
                continue
            output, errors = [], []
            for line in self._lines(batch["id"]) if status != "failed" else ():
                [text] = line["body"]["input"]
                answer: dict[str, Any] = {"id": "r", "custom_id": line["custom_id"], "response": None, "error": None}
                if refuse is not None and refuse in text:
                    refusal = {"error": {"message": f"invalid content: {text}", "type": "invalid_request_error"}}
                    errors.append(answer | {"response": {"status_code": 400, "body": refusal}})
                elif lose is not None and lose in text:
                    errors.append(answer | {"error": {"code": "batch_expired", "message": "not done in time"}})
                else:
                    body = self._good_content(Request("/v1/embeddings", {}, line["body"]))
                    output.append(answer | {"response": {"status_code": 200, "body": body}})
            batch["status"] = status
            batch["output_file_id"] = self._store_lines(output[::-1])
            batch["error_file_id"] = self._store_lines(errors)
            if error is not None:
                batch["errors"] = {"object": "list", "data": [error]}

    def _create(self, body: dict[str, Any]) -> Answer:
        if body["input_file_id"] not in self.files:
            return Answer(400, {"error": {"message": "no such file"}})
        assert (body["endpoint"], body["completion_window"]) == ("/v1/embeddings", "24h")
        self._number += 1
        name = f"batch_{self._number}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "status": "in_progress",
            "errors": None,
            "input_file_id": body["input_file_id"],
            "metadata": body["metadata"],
            "output_file_id": None,
            "error_file_id": None,
            "expires_at": int(time.time()) + 86_400,
            "lines": self.files[body["input_file_id"]].decode(),
        }
        self.sent += self.texts(name)
        return Answer(content=self.batches[name])

    def _list(self, path: str) -> Answer:
        """The newest first, two a page."""
        found = list(self.batches.values())[::-1]
        after = parse_qs(urlsplit(path).query).get("after")
        if after:
            found = found[1 + next(at for at, batch in enumerate(found) if batch["id"] == after[0]) :]
        page = found[:PAGE]
        last = page[-1]["id"] if page else None
        return Answer(content={"data": page, "last_id": last, "has_more": len(found) > len(page)})

    def _lines(self, batch_id: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.batches[batch_id]["lines"].splitlines()]

    def _store(self, content: bytes) -> str:
        self._number += 1
        self.files[f"file-{self._number}"] = content
        return f"file-{self._number}"

    def _store_lines(self, lines: list[dict[str, Any]]) -> str | None:
        return self._store("".join(json.dumps(line) + "\n" for line in lines).encode()) if lines else None


def read_upload(content_type: str, content: bytes) -> bytes:
    """The file of a multipart form, whose purpose must be `batch`."""
    form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content)
    parts = {
        part.get_param("name", header="content-disposition"): part for part in form.walk() if not part.is_multipart()
    }
    assert parts["purpose"].get_payload(decode=True) == b"batch"
    file = parts["file"].get_payload(decode=True)
    assert isinstance(file, bytes)
    return file


def _missing() -> Answer:
    return Answer(404, {"error": {"message": "no such object"}})
