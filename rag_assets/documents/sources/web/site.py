"""The pages of a web site as documents: those of its sitemap, or those that a bounded crawl finds."""

import hashlib
import json
import re
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

from rag_assets.documents.sources.base import SourceFile, describe_exception, escape_name
from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.sources.web.address import SiteAddress, normalize_url, parse_site_address, url_to_path
from rag_assets.documents.sources.web.fetcher import FetchedPage, SiteFetcher
from rag_assets.errors import DocumentError, SourceError

_GONE = frozenset({404, 410})
_MOST_SITEMAPS = 50
_ENTITIES = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


class SiteSource:
    """Each listing asks for every page: by a conditional request, if the page was seen before.

    Validators and links of pages are remembered in a file of the state folder. Without it every page is fetched and
    compared by its hash: it saves traffic, and decides nothing.
    """

    def __init__(self, uri: str, selection: Selection, max_bytes: int | None, state_dir: Path) -> None:
        self._address: SiteAddress = parse_site_address(uri)
        self.uri = self._address.uri
        self._selection = selection
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._bodies = tempfile.TemporaryDirectory(prefix="rag-site-")
        self._pages: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._memory = _PageMemory(state_dir, self.uri)

    def list(self) -> Iterator[SourceFile]:
        """Pages that the site no longer has are left out; one that fails for now is listed, and reading it says why."""
        address = self._address
        fetcher = SiteFetcher(address.host, address.delay_s, self._max_bytes)
        files: dict[str, SourceFile] = {}
        try:
            found = self._find_pages(fetcher)
            for page in found:
                path = url_to_path(address.root, page.url, is_html=page.is_html)
                if not self._selection.includes_path(path):
                    continue
                self._pages[path] = page.url
                version = ""
                if page.error is not None:
                    self._failures[path] = page.error
                else:
                    self._failures.pop(path, None)
                    version = self._version(page)
                    if page.status != 304:
                        self._body_file(path).write_bytes(page.body)
                files[path] = SourceFile(path, version, None)
        finally:
            fetcher.close()
        self._memory.save()
        yield from (files[path] for path in sorted(files))

    def read(self, path: str) -> bytes:
        if path in self._failures:
            raise DocumentError(f"{path!r} cannot be read ({self._failures[path]})")
        file = self._body_file(path)
        if file.exists():
            return file.read_bytes()
        url = self._pages.get(path) or self._address.root + path
        with self._lock:
            fetcher = SiteFetcher(self._address.host, self._address.delay_s, self._max_bytes)
            try:
                page = fetcher.get(url)
            finally:
                fetcher.close()
        if page.error is not None:
            raise DocumentError(f"{path!r} cannot be read ({page.error})")
        return page.body

    def close(self) -> None:
        self._bodies.cleanup()

    def _find_pages(self, fetcher: SiteFetcher) -> Iterator[FetchedPage]:
        address = self._address
        sitemaps = fetcher.read_robots()
        listed = self._read_sitemaps(fetcher, sitemaps)
        pending = deque((url, 0) for url in (listed or [address.start]))
        seen = {url for url, _ in pending}
        done: set[str] = set()
        while pending:
            url, depth = pending.popleft()
            if not fetcher.may_read(url):
                if url == address.start:
                    raise SourceError(f"{url} must not be read, by the robots.txt of its site; ask its owner")
                continue
            page = self._fetch(fetcher, url)
            if page.status in _GONE:
                if url == address.start:
                    raise SourceError(f"{url} does not exist (status {page.status}); correct the address")
                continue
            if page.url in done or not page.url.startswith(address.root):
                if url == address.start and not listed:
                    raise SourceError(f"{url} leads to {page.url}, outside of the site; begin there")
                continue  # Reached by another name already, or by a redirect out of the site.
            if url == address.start and page.error is not None:
                raise SourceError(f"{self.uri} cannot be listed ({page.error}); check the address")
            done.add(page.url)
            if len(done) > address.pages:
                raise SourceError(
                    f"{self.uri} has more than {address.pages} pages; raise pages=, lower depth=, or exclude some"
                )
            yield page
            if listed or depth >= address.depth:
                continue
            for link in self._memory.links(page.url):
                if link.startswith(address.root) and link not in seen and self._may_hold(link):
                    seen.add(link)
                    pending.append((link, depth + 1))

    def _may_hold(self, url: str) -> bool:
        """Whether the globs may select the page, or pages below it."""
        path = url_to_path(self._address.root, url, is_html=False)
        folders = path.split("/")[:-1]
        return all(
            self._selection.includes_folder("/".join(folders[: at + 1]), folder) for at, folder in enumerate(folders)
        )

    def _fetch(self, fetcher: SiteFetcher, url: str) -> FetchedPage:
        known = self._memory.get(url)
        page = fetcher.get(url, known.get("etag", ""), known.get("last_modified", ""))
        if page.status == 304:
            return FetchedPage(
                known["url"], 304, b"", known["content_type"], known.get("etag", ""), known.get("last_modified", "")
            )
        if page.error is None:
            self._memory.put(url, page, find_links(page))
        return page

    def _version(self, page: FetchedPage) -> str:
        if page.etag:
            return escape_name(page.etag)
        if page.last_modified:
            return escape_name(page.last_modified)
        return hashlib.sha256(page.body).hexdigest()

    def _body_file(self, path: str) -> Path:
        return Path(self._bodies.name, hashlib.sha256(path.encode(errors="surrogatepass")).hexdigest())

    def _read_sitemaps(self, fetcher: SiteFetcher, named: Sequence[str]) -> Sequence[str]:
        """The pages below the root that sitemaps name; [] without one, where links have to be followed."""
        address = self._address
        if address.sitemap == "no":
            return []
        pending = deque([address.sitemap] if address.sitemap else [*named, address.host + "/sitemap.xml"])
        seen: dict[str, None] = {}
        pages: dict[str, None] = {}
        while pending and len(seen) < _MOST_SITEMAPS:
            url = normalize_url(pending.popleft())
            if url in seen:
                continue
            seen[url] = None
            answer = fetcher.get(url)
            if answer.error is not None:
                if address.sitemap or not 400 <= answer.status < 500:
                    raise SourceError(f"the sitemap {url} cannot be read ({answer.error}); try again, or sitemap=no")
                continue
            for kind, target in read_sitemap(url, answer.body):
                if kind == "sitemap":
                    pending.append(target)
                elif (page := normalize_url(target)).startswith(address.root):
                    pages[page] = None
        return [*pages]


class _PageMemory:
    """Validators and links of pages by URL, as of the last listing that ended."""

    def __init__(self, state_dir: Path, uri: str) -> None:
        self._file = state_dir / "sites" / f"{hashlib.sha256(uri.encode()).hexdigest()[:24]}.json"
        try:
            self._before: dict[str, dict[str, Any]] = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._before = {}
        self._now: dict[str, dict[str, Any]] = {}
        self._links: dict[str, list[str]] = {}

    def get(self, url: str) -> dict[str, Any]:
        known = self._before.get(url, {})
        if known:
            self._now[url] = known
            self._links[known["url"]] = known["links"]
        return known

    def put(self, url: str, page: FetchedPage, links: list[str]) -> None:
        self._links[page.url] = links
        self._now.pop(url, None)
        if page.etag or page.last_modified:
            self._now[url] = {
                "url": page.url,
                "etag": page.etag,
                "last_modified": page.last_modified,
                "content_type": page.content_type,
                "links": links,
            }

    def links(self, url: str) -> list[str]:
        return self._links.get(url, [])

    def save(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part = self._file.with_suffix(".part")
            part.write_text(json.dumps(self._now), encoding="utf-8")
            part.replace(self._file)
        except OSError:
            return  # A read-only disk: the next listing fetches every page.
        self._before = self._now
        self._now = {}


def find_links(page: FetchedPage) -> list[str]:
    """The pages that an HTML page links to, except by links that it asks not to follow."""
    if not page.is_html:
        return []
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(page.body)
    base = next((node.attributes.get("href") for node in tree.css("base[href]")), None)
    found: dict[str, None] = {}
    for node in tree.css("a[href]"):
        if "nofollow" in (node.attributes.get("rel") or "").lower().split():
            continue
        try:
            link = urljoin(urljoin(page.url, base or ""), (node.attributes.get("href") or "").strip())
        except ValueError:
            continue
        if link.startswith(("http://", "https://")) and "?" not in link:
            found[normalize_url(link)] = None
    return [*found]


def read_sitemap(url: str, data: bytes) -> Iterator[tuple[str, str]]:
    """("sitemap" or "page", URL) of a sitemap in XML or as lines of text, compressed or not."""
    if data.startswith(b"\x1f\x8b"):
        import zlib

        data = zlib.decompressobj(31).decompress(data, 50_000_000)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        yield from (
            ("page", line.strip()) for line in data.decode("utf-8", errors="replace").splitlines() if "://" in line
        )
        return
    if _ENTITIES.search(data[:10_000]):
        raise SourceError(f"the sitemap {url} declares entities, which are not read; use sitemap=no")
    try:
        tree = ElementTree.fromstring(data)  # noqa: S314
    except ElementTree.ParseError as error:
        raise SourceError(f"the sitemap {url} is not valid XML ({describe_exception(error)}); use sitemap=no") from None
    for element in tree.iter():
        kind = element.tag.rpartition("}")[2]
        if kind in ("sitemap", "url"):
            location = next((child.text for child in element if child.tag.rpartition("}")[2] == "loc"), None)
            if location and location.strip():
                yield ("sitemap" if kind == "sitemap" else "page"), location.strip()
