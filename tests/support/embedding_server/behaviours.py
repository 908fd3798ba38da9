"""Ways in which embedding servers misbehave."""

import json
import time
from collections.abc import Callable
from typing import Any

from tests.support.embedding_server.messages import Answer, Request
from tests.support.embedding_server.server import Behaviour, EmbeddingServer


def fail(status: int, message: Any = "no", **headers: str) -> Behaviour:
    content = message if isinstance(message, bytes) else {"error": {"message": message}}
    return lambda request: Answer(status, content, {name.replace("_", "-"): value for name, value in headers.items()})


def refuse(marker: str, status: int = 400, message: str = "input contains disallowed content") -> Behaviour:
    """Refuse every request that has a text with the marker."""

    def behave(request: Request) -> Answer | None:
        if any(marker in text for text in request.texts):
            return Answer(status, {"error": {"message": message, "type": "invalid_request_error"}})
        return None

    return behave


def refuse_more_than(texts: int, status: int = 413) -> Behaviour:
    def behave(request: Request) -> Answer | None:
        if len(request.texts) > texts:
            message = f"batch size {len(request.texts)} > maximum allowed batch size {texts}"
            return Answer(status, {"error": message, "error_type": "Validation"})
        return None

    return behave


def refuse_longer_than(words: int, message: str = "This model's maximum context length is exceeded") -> Behaviour:
    def behave(request: Request) -> Answer | None:
        if any(len(text.split()) > words for text in request.texts):
            return Answer(400, {"error": {"message": message, "code": "context_length_exceeded"}})
        return None

    return behave


def change(server: EmbeddingServer, edit: Callable[[dict[str, Any], Request], Any]) -> Behaviour:
    """Answer well but for an edit of the content; what the edit returns instead of None is sent in its place."""

    def behave(request: Request) -> Answer:
        content: Any = server.good_content(request)
        edited = edit(content, request)
        content = content if edited is None else edited
        return content if isinstance(content, Answer) else Answer(content=content)

    return behave


def cut_off(server: EmbeddingServer, *, announced: bool) -> Behaviour:
    """Send half of the JSON: with the length of the half, or breaking off before the announced length."""

    def behave(request: Request) -> Answer:
        content = json.dumps(server.good_content(request)).encode()
        half = len(content) // 2
        return Answer(content=content, cut=half) if announced else Answer(content=content[:half])

    return behave


def delay(seconds: float) -> Behaviour:
    def behave(request: Request) -> None:
        time.sleep(seconds)

    return behave
