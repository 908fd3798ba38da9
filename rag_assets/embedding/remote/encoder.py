"""The encoder of a model over HTTP: requests side by side, refused texts found by halving, over-long ones split."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from rag_assets.documents.splitting.boundaries import split_in_half
from rag_assets.embedding.batches import BatchLimits, PartlyEncodedError
from rag_assets.embedding.model import QUERY_PROMPT, document_prompt
from rag_assets.embedding.remote.answers import TextsRefusedError
from rag_assets.embedding.remote.client import EmbeddingClient
from rag_assets.embedding.remote.endpoint import Endpoint
from rag_assets.embedding.remote.known_models import KNOWN_MODELS
from rag_assets.embedding.remote.names import DOCUMENT_TYPE, QUERY_TYPE, split_name
from rag_assets.errors import RagAssetsError, RefusedError, ServiceError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# So many requests fail in a row, whatever texts they have: the server is broken.
MOST_BROKEN_IN_A_ROW = 24
_LEAST_PIECE_CHARS = 16


class RemoteEncoder:
    """Embeds with a model over HTTP. `encode` sends each distinct text once, unless the server does not answer.

    `encode` raises PartlyEncodedError when the server refused some texts, or failed before all were embedded: what it
    has embedded, and billed, is in the error.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        dimensions: int,
        prompts: Mapping[str, str],
        normalize: bool = True,
    ) -> None:
        known = KNOWN_MODELS.get(name)
        shortens = known is not None and known.shortens and known.dimensions != dimensions
        self.dimensions = dimensions
        self.endpoint = endpoint
        self._normalize = normalize
        self._document_prompt, self._query_prompt = document_prompt(prompts), prompts.get(QUERY_PROMPT, "")
        self._document_type, self._query_type = prompts.get(DOCUMENT_TYPE), prompts.get(QUERY_TYPE)
        self._client = EmbeddingClient(
            endpoint,
            split_name(name)[1],
            dimensions=dimensions,
            shortened=dimensions if shortens else None,
        )
        self._lock = threading.Lock()
        self._request_texts = endpoint.limits.request_texts
        self._broken = 0
        self._fits = False
        self._tokens = 0
        self._asked: dict[str, Future[NDArray[np.float32]]] = {}

    @property
    def batch_limits(self) -> BatchLimits:
        limits = self.endpoint.limits
        return BatchLimits(limits.request_tokens * limits.concurrency, self._request_texts * limits.concurrency)

    def document_request(self, text: str) -> dict[str, Any]:
        """The body of a request for one text of a document, as a line of a batch has it."""
        return self._client.request_body([self._document_prompt + text], self._document_type)

    def take_billed_tokens(self) -> int:
        """The tokens that were billed since the last call: those that the server stated, else an estimate."""
        with self._lock:
            tokens, self._tokens = self._tokens, 0
        return tokens

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        import numpy as np

        work = _Work(list(self._requests(list(dict.fromkeys(texts)))))
        self._work_side_by_side(work, self._document_prompt, self._document_type)
        if work.reasons or work.stopped is not None:
            raise PartlyEncodedError(work.vectors, work.reasons, work.stopped)
        return np.stack([work.vectors[text] for text in texts])

    def encode_query(self, text: str, timeout_s: float | None = None) -> "NDArray[np.float32]":
        """The vector of a query; raises ServiceError where it takes longer than allowed.

        Threads that ask for the same text at the same time share one request.
        """
        within_s = self._query_time(timeout_s)
        end = time.monotonic() + within_s
        while True:
            with self._lock:
                asked = self._asked.get(text)
                own = self._asked.setdefault(text, Future()) if asked is None else None
            if own is not None:
                return self._answer(own, text, max(0.001, end - time.monotonic()))
            assert asked is not None
            try:
                return asked.result(max(0.001, end - time.monotonic()))
            except (ServiceError, TimeoutError):
                # The other thread may have had less time.
                if time.monotonic() >= end:
                    raise ServiceError(f"the query could not be embedded within {within_s:.3g} s.") from None

    def encode_queries(self, texts: Sequence[str], timeout_s: float | None = None) -> "NDArray[np.float32]":
        """The vectors of several queries, in as few requests as fit, under the limits of one query."""
        import numpy as np

        work = _Work(list(self._requests(list(dict.fromkeys(texts)))), within_s=self._query_time(timeout_s))
        self._work_side_by_side(work, self._query_prompt, self._query_type)
        if work.stopped is not None:
            raise _query_error(work.stopped, work.within_s)
        for reason in work.reasons.values():
            raise _query_refusal(reason)
        return np.stack([work.vectors[text] for text in texts])

    def _answer(self, own: "Future[NDArray[np.float32]]", text: str, within_s: float) -> "NDArray[np.float32]":
        """Embed the query for this thread and those that wait for it."""
        try:
            work = _Work([], within_s=within_s)
            self._embed(work, [text], self._query_prompt, self._query_type)
            if work.reasons:
                raise _query_refusal(work.reasons[text])
        except BaseException as error:
            raised = _query_error(error, within_s) if isinstance(error, RagAssetsError) else error
            own.set_exception(raised)
            raise raised from None
        else:
            own.set_result(work.vectors[text])
            return work.vectors[text]
        finally:
            with self._lock:
                del self._asked[text]

    def _query_time(self, timeout_s: float | None) -> float:
        limit = self.endpoint.limits.query_timeout_s
        return limit if timeout_s is None else min(limit, timeout_s)

    def _work_side_by_side(self, work: "_Work", prompt: str, input_type: str | None) -> None:
        others = [
            threading.Thread(target=self._work_off, args=(work, prompt, input_type), name="embed", daemon=True)
            for _ in range(min(self.endpoint.limits.concurrency, len(work.requests)) - 1)
        ]
        for thread in others:
            thread.start()
        self._work_off(work, prompt, input_type)
        for thread in others:
            thread.join()

    def _requests(self, texts: Sequence[str]) -> Iterator[list[str]]:
        request: list[str] = []
        tokens = 0
        for text in texts:
            own = _rough_tokens(text)
            if request and (len(request) >= self._request_texts or tokens + own > self.endpoint.limits.request_tokens):
                yield request
                request, tokens = [], 0
            request.append(text)
            tokens += own
        if request:
            yield request

    def _work_off(self, work: "_Work", prompt: str, input_type: str | None) -> None:
        while (request := work.take()) is not None:
            try:
                # The limit may have been found to be lower since the request was made up.
                most = self._request_texts
                for start in range(0, len(request), most):
                    self._embed(work, request[start : start + most], prompt, input_type)
            except RagAssetsError as error:
                work.fail(error)
            except Exception as error:
                work.fail(ServiceError(f"{self.endpoint.shown}: {type(error).__name__}: {error}"))

    def _embed(self, work: "_Work", texts: Sequence[str], prompt: str, input_type: str | None) -> None:
        """Embed the texts into `work`. When they are refused, halve them until the culprit is alone."""
        if work.stop.is_set():
            return
        try:
            vectors = self._request(work, texts, prompt, input_type)
        except TextsRefusedError as refused:
            self._count_broken(refused)
            if len(texts) > 1:
                middle = (len(texts) + 1) // 2
                for half in (texts[:middle], texts[middle:]):
                    self._embed(work, half, prompt, input_type)
                if not refused.broken and all(text in work.vectors for text in texts):
                    # Each of them is accepted, so there were too many.
                    self._request_texts = min(self._request_texts, middle)
            elif refused.too_long and len(texts[0]) > _LEAST_PIECE_CHARS:
                self._embed_halves(work, texts[0], prompt, input_type, refused)
            else:
                work.refuse(texts[0], refused.reason)
            return
        for text, vector in zip(texts, vectors, strict=True):
            if vector is None:
                work.refuse(text, "the server gave no vector")
            elif len(vector) != self.dimensions:
                work.refuse(text, f"the server gave a vector of {len(vector)} dimensions, not {self.dimensions}")
            else:
                work.add(text, vector)

    def _embed_halves(
        self, work: "_Work", text: str, prompt: str, input_type: str | None, refused: TextsRefusedError
    ) -> None:
        """The mean of the halves' vectors, weighted by their lengths, as for a text beyond a known window."""
        import numpy as np

        halves = _Work([], within_s=work.within_s, stop=work.stop)
        pieces = [piece for start, end in split_in_half(text, 0, len(text)) if (piece := text[start:end]).strip()]
        for piece in pieces:
            if len(piece) < len(text):
                self._embed(halves, [piece], prompt, input_type)
        found = [(halves.vectors[piece], len(piece)) for piece in pieces if piece in halves.vectors]
        if len(found) < len(pieces) or not found:
            work.refuse(text, next(iter(halves.reasons.values()), refused.reason))
            return
        mean = np.average([vector for vector, _ in found], axis=0, weights=[weight for _, weight in found])
        work.add(text, self.scale(mean))

    def _request(
        self, work: "_Work", texts: Sequence[str], prompt: str, input_type: str | None
    ) -> "list[NDArray[np.float32] | None]":
        answer = self._client.embed(
            [prompt + text for text in texts], input_type=input_type, within_s=work.within_s, stop=work.stop
        )
        with self._lock:
            self._broken = 0
            self._tokens += answer.tokens if answer.tokens is not None else sum(map(_rough_tokens, texts))
        lengths = {len(vector) for vector in answer.vectors if vector is not None}
        if self.dimensions in lengths:
            self._fits = True
        elif lengths and not self._fits:
            # Not one text but the setting is wrong.
            raise RefusedError(
                f"the vectors of {self.endpoint.shown} have {min(lengths):,} dimensions, not {self.dimensions:,}; "
                f"set RAG_ASSETS_DIMENSIONS={min(lengths)}, or choose another model."
            )
        return [None if vector is None else self.scale(vector) for vector in answer.vectors]

    def scale(self, vector: "NDArray[np.floating]") -> "NDArray[np.float32]":
        """A vector of the server as `encode` returns it."""
        import numpy as np

        length = float(np.linalg.norm(vector.astype(np.float64)))
        # A zero or NaN vector is returned as it is: the writer of vectors rejects it.
        scales = self._normalize and 0 < length < float("inf")
        return (vector / length if scales else vector).astype(np.float32)

    def _count_broken(self, refused: TextsRefusedError) -> None:
        with self._lock:
            self._broken = self._broken + 1 if refused.broken else 0
            broken = self._broken
        if broken >= MOST_BROKEN_IN_A_ROW:
            with self._lock:
                self._broken = 0
            raise ServiceError(
                f"{self.endpoint.shown} failed {broken} times in a row, the last time with: {refused.reason}; "
                "see to the server, then run again."
            )


class _Work:
    """The requests of one call of `encode`, and what came of them."""

    def __init__(
        self, requests: list[list[str]], *, within_s: float | None = None, stop: threading.Event | None = None
    ) -> None:
        self.requests = requests
        self.within_s = within_s
        self.stop = stop or threading.Event()
        self.vectors: dict[str, NDArray[np.float32]] = {}
        self.reasons: dict[str, str] = {}
        self.stopped: RagAssetsError | None = None
        self._lock = threading.Lock()
        self._next = iter(requests)

    def take(self) -> list[str] | None:
        with self._lock:
            return None if self.stop.is_set() else next(self._next, None)

    def add(self, text: str, vector: "NDArray[np.float32]") -> None:
        self.vectors[text] = vector

    def refuse(self, text: str, reason: str) -> None:
        self.reasons[text] = reason

    def fail(self, error: RagAssetsError) -> None:
        with self._lock:
            # The first error is the cause; the others gave up because of it.
            self.stopped = self.stopped or error
        self.stop.set()


def _query_error(error: RagAssetsError, within_s: float | None) -> RagAssetsError:
    if not isinstance(error, ServiceError) or isinstance(error, RefusedError):
        return error
    return ServiceError(f"the query could not be embedded within {within_s:.3g} s: {error}")


def _query_refusal(reason: str) -> UsageError:
    return UsageError(f"the query cannot be embedded: {reason}; ask with other words.")


def _rough_tokens(text: str) -> int:
    return len(text.encode("utf-8", "replace")) // 3 + 1
