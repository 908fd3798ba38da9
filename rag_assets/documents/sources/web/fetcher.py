"""Polite requests to one web site: robots.txt, a pause between requests, Retry-After, redirects, bounded answers."""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin
from urllib.robotparser import RobotFileParser

from rag_assets.documents.sources.base import describe_exception
from rag_assets.documents.sources.web.address import normalize_url
from rag_assets.errors import SourceError

if TYPE_CHECKING:
    import httpx2

AGENT = "rag_assets"
TIMEOUT_S = 30.0
MOST_REDIRECTS = 5
MOST_TRIES = 4
MOST_WAIT_S = 60.0
_BUSY = frozenset({429, 503})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """An answer: of `url`, where redirects led; `error` says why there is no body."""

    url: str
    status: int
    body: bytes = b""
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""
    error: str | None = None

    @property
    def is_html(self) -> bool:
        return self.content_type in ("text/html", "application/xhtml+xml")


class SiteFetcher:
    """One connection, one request at a time."""

    def __init__(self, host: str, delay_s: float, max_bytes: int | None) -> None:
        import httpx2

        self._client = httpx2.Client(timeout=TIMEOUT_S, headers={"User-Agent": AGENT}, follow_redirects=False)
        self._host = host
        self._delay_s = delay_s
        self._max_bytes = max_bytes
        self._last = 0.0
        self._robots = RobotFileParser()

    def read_robots(self) -> list[str]:
        """Read robots.txt; the sitemaps that it names. A site that cannot say what it allows is not read."""
        answer = self.get(self._host + "/robots.txt")
        if answer.error is not None and not 400 <= answer.status < 500:
            raise SourceError(f"{self._host}/robots.txt cannot be read ({answer.error}); try again later")
        self._robots.parse(answer.body.decode("utf-8", errors="replace").splitlines())
        delay = self._robots.crawl_delay(AGENT)
        self._delay_s = max(self._delay_s, min(float(delay or 0), MOST_WAIT_S))
        return self._robots.site_maps() or []

    def may_read(self, url: str) -> bool:
        return self._robots.can_fetch(AGENT, url)

    def get(self, url: str, etag: str = "", last_modified: str = "") -> FetchedPage:
        """The page, by a conditional request where its validators are known. Follows redirects within the site.

        Raises SourceError where the site asks to wait for longer than a minute, or again and again.
        """
        conditions = {"If-None-Match": etag} if etag else {"If-Modified-Since": last_modified} if last_modified else {}
        seen = [url]
        while True:
            answer, target = self._request(url, conditions)
            if target is None:
                return answer
            url = normalize_url(urljoin(url, target))
            if not url.startswith(self._host + "/"):
                return FetchedPage(url, answer.status, error="it leads to another site")
            if url in seen or len(seen) > MOST_REDIRECTS:
                return FetchedPage(seen[0], answer.status, error="its redirects lead in a circle")
            seen.append(url)

    def close(self) -> None:
        self._client.close()

    def _request(self, url: str, conditions: dict[str, str]) -> tuple[FetchedPage, str | None]:
        import httpx2

        for attempt in range(1, MOST_TRIES + 1):
            time.sleep(max(0.0, self._last + self._delay_s - time.monotonic()))
            try:
                with self._client.stream("GET", url, headers=conditions) as response:
                    status = response.status_code
                    if status in _BUSY and attempt < MOST_TRIES:
                        wait_s = _retry_after(response.headers.get("Retry-After"), attempt)
                        if wait_s > MOST_WAIT_S:
                            raise SourceError(
                                f"{self._host} asks to wait for {wait_s:.0f} s (status {status}); read it later, or "
                                "with a longer delay_s"
                            )
                        time.sleep(wait_s)
                        continue
                    if status in _BUSY:
                        raise SourceError(
                            f"{self._host} refuses requests (status {status}, {attempt} times); read it later, or "
                            "with a longer delay_s"
                        )
                    return self._read(url, response), _redirect(response)
            except httpx2.HTTPError as error:
                if attempt == MOST_TRIES:
                    return FetchedPage(url, 0, error=describe_exception(error)), None
            finally:
                self._last = time.monotonic()
        raise AssertionError("the last attempt returns or raises")

    def _read(self, url: str, response: "httpx2.Response") -> FetchedPage:
        body, limit = bytearray(), self._max_bytes
        for part in response.iter_bytes():
            body += part
            if limit is not None and len(body) > limit:
                return FetchedPage(url, response.status_code, error="it is larger than RAG_ASSETS_MAX_DOCUMENT_MB")
        status = response.status_code
        return FetchedPage(
            url,
            status,
            bytes(body),
            response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            response.headers.get("ETag", ""),
            response.headers.get("Last-Modified", ""),
            None if status in (200, 203, 304) or status in _REDIRECTS else f"the server answers with status {status}",
        )


def _redirect(response: "httpx2.Response") -> str | None:
    target: str | None = response.headers.get("Location")
    return target if response.status_code in _REDIRECTS else None


def _retry_after(header: str | None, attempt: int) -> float:
    if header is None:
        return float(2**attempt)
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError):
        return float(2**attempt)
