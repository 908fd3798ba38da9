"""Requests to an embedding server: repeated while it is overloaded, never sent to another address."""

import json
import logging
import random
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from rag_assets.embedding.remote.answers import TextsRefusedError, UnavailableError, read_answer
from rag_assets.embedding.remote.dialects import DIALECTS, Embedded
from rag_assets.embedding.remote.endpoint import Endpoint
from rag_assets.errors import RefusedError, ServiceError, UsageError

if TYPE_CHECKING:
    import httpx2

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 20.0
CONNECT_S = 10.0
# A server that never answered is more likely a wrong address than an overloaded one.
_NEVER_ANSWERED_S = 5.0
# Of an answer for each number of a vector, and beyond its vectors: more is no answer.
_BYTES_PER_NUMBER = 64
_MOST_DIMENSIONS = 4_096
_BYTES_BESIDE = 1_000_000

_ASKED_TO_WAIT = UnavailableError("the server asks to wait")

_log = logging.getLogger(__name__)


class EmbeddingClient:
    """The requests of one process to one server, from any number of threads."""

    def __init__(self, endpoint: Endpoint, model: str, *, dimensions: int, shortened: int | None) -> None:
        self.endpoint = endpoint
        self._dialect = DIALECTS[endpoint.dialect]
        self._model = model
        # Also for vectors of another size than expected, which the caller can name then.
        self._most_bytes_per_text = max(dimensions, _MOST_DIMENSIONS) * _BYTES_PER_NUMBER
        self._shortened = shortened
        self._lock = threading.Lock()
        self._http: httpx2.Client | None = None
        # A server that asks one thread to wait means all of them.
        self._not_before = 0.0
        self._last_good: float | None = None

    def request_body(self, texts: Sequence[str], input_type: str | None) -> dict[str, Any]:
        return self._dialect.body(self._model, texts, input_type=input_type, shortened=self._shortened)

    def embed(
        self, texts: Sequence[str], *, input_type: str | None, within_s: float | None = None, stop: threading.Event
    ) -> Embedded:
        """The vectors of the texts in one answer.

        `within_s` limits the time in all; without it, requests are repeated for `retry_s` after the last good answer.
        Raises TextsRefusedError where fewer texts may do, RefusedError for what must be changed, and ServiceError where
        the server does not answer in time.
        """
        limits = self.endpoint.limits
        started = time.monotonic()
        body = json.dumps(self.request_body(texts, input_type)).encode()
        for attempt in count(1):
            end = None if within_s is None else started + within_s
            self._pause(self._not_before - time.monotonic(), end, _ASKED_TO_WAIT, started, stop)
            left = limits.timeout_s if end is None else min(limits.timeout_s, max(0.001, end - time.monotonic()))
            try:
                answer = self._send(body, len(texts), left)
            except UnavailableError as error:
                if error.attempts is not None and attempt >= error.attempts and end is None:
                    raise TextsRefusedError(error.reason, broken=True) from None
                pause = pause_s(error, attempt)
                if error.wait_s is not None:
                    with self._lock:
                        self._not_before = max(self._not_before, time.monotonic() + pause)
                _log.info("%s: %s; repeated in %.1f s", self.endpoint.shown, error.reason, pause)
                self._pause(pause, end, error, started, stop)
                continue
            self._last_good = time.monotonic()
            return answer
        raise AssertionError

    def _pause(
        self, seconds: float, end: float | None, why: UnavailableError, started: float, stop: threading.Event
    ) -> None:
        """Wait; raises ServiceError instead of waiting beyond the end."""
        if seconds <= 0:
            return
        if end is None:
            patience = self.endpoint.limits.retry_s
            if self._last_good is None and why.connecting:
                patience = min(patience, _NEVER_ANSWERED_S)
            end = max(started, self._last_good or 0.0) + patience
        if time.monotonic() + seconds > end:
            raise ServiceError(
                f"{self.endpoint.shown} cannot embed now ({why.reason}{_again(seconds)}); "
                "run again later, or see to the server."
            )
        if stop.wait(seconds):
            raise ServiceError(f"{self.endpoint.shown}: given up, since another request failed.")

    def _send(self, body: bytes, number: int, timeout_s: float) -> Embedded:
        import httpx2

        end = time.monotonic() + timeout_s
        most = _BYTES_BESIDE + number * self._most_bytes_per_text
        timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s), pool=None)
        # Fewer texts take less time.
        too_late = UnavailableError(f"no answer within {timeout_s:.3g} s", attempts=1 if number > 1 else None)
        with (
            translated_errors(self.endpoint, too_late),
            self._client().stream("POST", self.endpoint.url, content=body, timeout=timeout) as response,
        ):
            content = bytearray()
            for part in response.iter_bytes():
                content += part
                if len(content) > most:
                    raise UnavailableError("the answer has no end", attempts=2)
                if time.monotonic() > end:
                    raise httpx2.ReadTimeout("the answer takes too long")
        return read_answer(self.endpoint, response.status_code, response.headers, bytes(content), number)

    def _client(self) -> "httpx2.Client":
        with self._lock:
            if self._http is None:
                self._http = new_http_client(self.endpoint, {"Content-Type": "application/json"})
                # An encoder lives as long as its process, or as whoever made it.
                weakref.finalize(self, self._http.close)
            return self._http


def new_http_client(endpoint: Endpoint, headers: Mapping[str, str] | None = None) -> "httpx2.Client":
    """A client that sends the key to the endpoint's address, and follows no redirect with it."""
    import httpx2

    # It logs the address of each request, which may have a key as parameter.
    logger = logging.getLogger("httpx2")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
    return httpx2.Client(
        headers={**endpoint.headers(), **(headers or {})},
        limits=httpx2.Limits(max_keepalive_connections=endpoint.limits.concurrency, max_connections=None),
        follow_redirects=False,
    )


def pause_s(error: UnavailableError, attempt: int) -> float:
    """How long to wait after so many attempts: what the server asks for, else twice as long each time."""
    if error.wait_s is not None:
        # Jitter on top: threads that wait for one moment would all come back in it.
        return error.wait_s + min(1.0, error.wait_s) * random.uniform(0, 0.1)  # noqa: S311
    longest: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (attempt - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311


@contextmanager
def translated_errors(endpoint: Endpoint, too_late: UnavailableError) -> Iterator[None]:
    """Raise our errors for those of a request; `too_late` for an answer that did not come in time."""
    import httpx2

    try:
        yield
    except httpx2.ConnectTimeout:
        raise UnavailableError("cannot connect to it in time", connecting=True) from None
    except httpx2.TimeoutException:
        raise too_late from None
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise UsageError(f"RAG_ASSETS_EMBEDDING_URL cannot be used ({error}); correct it.") from None
    except httpx2.DecodingError:
        raise UnavailableError("the answer cannot be decoded", attempts=3) from None
    except httpx2.TransportError as error:
        raise _transport_error(endpoint, error) from None


def _transport_error(endpoint: Endpoint, error: "httpx2.TransportError") -> Exception:
    """What a broken connection means."""
    import httpx2

    said = endpoint.redact(str(error)) or type(error).__name__
    if "SSL" in said or "CERTIFICATE" in said.upper():
        return RefusedError(
            f"no secure connection to {endpoint.shown} ({said}); correct RAG_ASSETS_EMBEDDING_URL, or set "
            "SSL_CERT_FILE to the certificates of its authority."
        )
    connecting = isinstance(error, httpx2.ConnectError | httpx2.ProxyError)
    what = "cannot connect to it" if connecting else "the connection broke"
    return UnavailableError(f"{what}: {said}", connecting=connecting)


def _again(seconds: float) -> str:
    return f"; next attempt in {seconds:.0f} s" if seconds >= 1 else ""
