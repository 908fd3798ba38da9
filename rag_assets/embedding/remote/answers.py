"""What an answer of an embedding server means: vectors, a refusal of these texts, a wait, or an error for good."""

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from rag_assets.embedding.remote.dialects import DIALECTS, Embedded, MalformedAnswerError
from rag_assets.embedding.remote.endpoint import Endpoint
from rag_assets.errors import RefusedError

# Beyond this, a number is taken for one that no server means.
_LONGEST_WAIT_S = 86_400.0
_SHOWN_CHARS = 200

_TOO_LONG = re.compile(
    r"maximum context length|context[ _]length|context window|too long|too many tokens|too large to process"
    r"|must have less than \d+ tokens|exceeds? the (maximum|max)|maximum (input|sequence) length|max(imum)?_tokens",
    re.IGNORECASE,
)
_UNKNOWN_MODEL = re.compile(
    r"model_not_found|model\W.{0,80}?(not found|does not exist|not supported|unknown|not exist|invalid)"
    r"|(unknown|invalid|no such|unsupported) model",
    re.IGNORECASE | re.DOTALL,
)
# Not `billing` alone: OpenAI's messages about rate limits advise to add a payment method.
_NO_CREDIT = re.compile(r"insufficient[_ ](quota|credit|balance|funds)|exceeded your current quota", re.IGNORECASE)
_RATE_LIMIT = re.compile(r"rate.?limit|too many requests|overloaded|throttl", re.IGNORECASE)
_TRY_AGAIN = re.compile(r"(?:try again|retry)\D{0,20}?(\d+(?:\.\d+)?)\s*(ms|s|m)\b", re.IGNORECASE)
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class TextsRefusedError(Exception):
    """The server refuses these texts, or cannot answer for them: fewer at a time may do."""

    def __init__(self, reason: str, *, too_long: bool = False, broken: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.too_long = too_long
        # The server failed, and may fail for every other text too.
        self.broken = broken


class UnavailableError(Exception):
    """The server cannot answer now. `wait_s` is what it asks to wait, None where it does not say."""

    def __init__(
        self, reason: str, *, wait_s: float | None = None, attempts: int | None = None, connecting: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.connecting = connecting
        self.wait_s = wait_s
        # So many attempts, before the texts are tried one by one; None: for as long as the settings allow.
        self.attempts = attempts


def read_answer(endpoint: Endpoint, status: int, headers: Mapping[str, str], content: bytes, number: int) -> Embedded:
    """The vectors; raises TextsRefusedError, UnavailableError, or RefusedError for what the settings must change."""
    kind = headers.get("content-type", "").lower()
    answer = _parse(content)
    if 200 < status < 300:
        status = 200
    if status == 200 and isinstance(answer, Mapping) and not (answer.get("data") or answer.get("embeddings")):
        # Some providers report an error, such as a rate limit, under status 200.
        status = _hidden_status(answer, headers)
    if status == 200:
        if answer is None and ("html" in kind or content.lstrip()[:1] == b"<"):
            raise RefusedError(
                f"{endpoint.shown} answers with a web page, not with vectors; "
                "correct RAG_ASSETS_EMBEDDING_URL, the base address of the server."
            )
        if answer is None:
            raise UnavailableError("the answer was cut off or is no JSON", attempts=3)
        try:
            return DIALECTS[endpoint.dialect].read(answer, number)
        except MalformedAnswerError as error:
            raise UnavailableError(f"the server gave {error}", attempts=2) from None
    raise _error(endpoint, status, headers, answer, content)


def read_error(endpoint: Endpoint, status: int, headers: Mapping[str, str], content: bytes) -> Exception:
    """The error that `read_answer` raises for such a status."""
    return _error(endpoint, status, headers, _parse(content), content)


def _error(endpoint: Endpoint, status: int, headers: Mapping[str, str], answer: Any, content: bytes) -> Exception:
    said = endpoint.redact(_message(answer, content))
    quoted = f": {said}" if said else ""
    shown = endpoint.shown
    if 300 <= status < 400:
        target = endpoint.redact(headers.get("location", "elsewhere").split("?")[0])
        return RefusedError(
            f"{shown} redirects to {target} ({status}), where the key is not sent; "
            "set RAG_ASSETS_EMBEDDING_URL to the address that answers."
        )
    if status == 401:
        return RefusedError(
            f"{shown} refuses the key, or wants one (401){quoted}; set RAG_ASSETS_EMBEDDING_API_KEY, or "
            "RAG_ASSETS_EMBEDDING_API_KEY_FILE."
        )
    if status == 402 or (status in (400, 403, 429) and _NO_CREDIT.search(said)):
        return RefusedError(f"{shown} wants to be paid ({status}){quoted}; add credit, or use another key.")
    if status == 403:
        return RefusedError(
            f"{shown} does not allow this (403){quoted}; set RAG_ASSETS_EMBEDDING_API_KEY to a key that may embed "
            "with this model."
        )
    too_long = _TOO_LONG.search(said) is not None
    if status in (404, 405, 410) or (status in (400, 422) and not too_long and _UNKNOWN_MODEL.search(said)):
        return RefusedError(
            f"{shown} knows no such address or model ({status}){quoted}; correct RAG_ASSETS_EMBEDDING_URL or "
            "RAG_ASSETS_MODEL."
        )
    if status in (400, 413, 414, 422):
        if _RATE_LIMIT.search(said) and not too_long:
            return UnavailableError(f"status {status}{quoted}", wait_s=_wait_s(headers, said))
        return TextsRefusedError(f"the server refused it ({status}){quoted}", too_long=too_long)
    if status == 500 and too_long:
        # llama.cpp answers so.
        return TextsRefusedError(f"the server refused it ({status}){quoted}", too_long=True)
    if status in (408, 409, 425, 429) or status >= 500:
        return UnavailableError(
            f"status {status}{quoted}", wait_s=_wait_s(headers, said), attempts=3 if status == 500 else None
        )
    return RefusedError(f"{shown} answered with status {status}{quoted}; correct RAG_ASSETS_EMBEDDING_URL.")


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _hidden_status(answer: Mapping[str, Any], headers: Mapping[str, str]) -> int:
    """The status that an answer without vectors under status 200 stands for; 200 for one that names no error."""
    error = answer.get("error") or answer.get("errors")
    for found in (error, answer):
        fields = found if isinstance(found, Mapping) else {}
        for name in ("code", "status", "status_code", "statusCode", "http_status"):
            value = fields.get(name)
            if isinstance(value, str) and value.isascii() and value.isdigit():
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool) and 300 <= value < 600:
                return value
    if "retry-after" in headers or "retry-after-ms" in headers:
        return 429
    error = error or answer.get("message") or answer.get("detail")
    if not error:
        return 200
    text = json.dumps(error)
    if _NO_CREDIT.search(text) and not _RATE_LIMIT.search(text):
        return 402
    if _RATE_LIMIT.search(text):
        return 429
    if re.search(r"api.?key|unauthorized|authentication", text, re.IGNORECASE):
        return 401
    return 400 if _TOO_LONG.search(text) or "invalid" in text.lower() else 500


def _message(answer: Any, content: bytes) -> str:
    """What the server says, as one short line."""
    found: Any = answer
    for _ in range(3):
        if isinstance(found, Mapping):
            names = ("error", "message", "detail", "msg", "error_message")
            found = next((found[name] for name in names if found.get(name)), None)
        elif isinstance(found, list) and found:
            found = found[0]
    if not isinstance(found, str):
        found = _TAGS.sub(" ", content[:20_000].decode("utf-8", "replace")) if not isinstance(answer, Mapping) else ""
    code = answer.get("error", answer) if isinstance(answer, Mapping) else None
    code = code.get("code") or code.get("error_type") or code.get("type") if isinstance(code, Mapping) else None
    line = " ".join(found.split())
    if isinstance(code, str) and code not in line:
        line = f"{line} [{code}]" if line else code
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"


def _wait_s(headers: Mapping[str, str], said: str) -> float | None:
    """How long the server asks to wait: Retry-After in seconds or as a date, retry-after-ms, or its message."""
    if (found := _number(headers.get("retry-after-ms"))) is not None:
        return min(found / 1000, _LONGEST_WAIT_S)
    given = headers.get("retry-after", "").strip()
    if (found := _number(given)) is not None:
        return min(found, _LONGEST_WAIT_S)
    if given:
        try:
            return min(max(0.0, parsedate_to_datetime(given).timestamp() - time.time()), _LONGEST_WAIT_S)
        except (ValueError, TypeError, OverflowError):
            pass
    if (in_words := _TRY_AGAIN.search(said)) is not None:
        unit = {"ms": 0.001, "s": 1.0, "m": 60.0}[in_words[2].lower()]
        return min(float(in_words[1]) * unit, _LONGEST_WAIT_S)
    return None


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", text, re.ASCII) else None
