"""A site on loopback: what is found, what is asked for again, and what its answers mean."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rag_assets.documents.parsing.parser import DocumentParser
from rag_assets.documents.sources import canonical_uri, open_source, source_name
from rag_assets.documents.sources.base import read_bytes
from rag_assets.documents.sources.web.address import normalize_url
from rag_assets.errors import DocumentError, SourceError, UsageError

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Site:
    """Pages by path; a function answers by what was asked before. `asked` has all requests but robots and sitemaps."""

    url: str = ""
    pages: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)

    def page(self, path: str, *links: str, text: str = "", nav: str = "", **headers: str) -> None:
        anchors = "".join(f'<a href="{link}">{link}</a>' for link in links)
        main = f"<main><h1>{path}</h1><p>{text}</p>{anchors}</main>"
        body = f"<!doctype html><html><body><nav>{nav}</nav>{main}</body></html>"
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (200, {"Content-Type": "text/html", **names}, body.encode())

    def answer(self, path: str, given: dict[str, str]) -> Answer:
        found = self.pages.get(path, (404, {}, b""))
        status, headers, body = found() if callable(found) else found
        for condition, header in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")):
            if status == 200 and headers.get(header) and given.get(condition) == headers[header]:
                status, body = 304, b""
        if path != "/robots.txt" and "sitemap" not in path:
            self.asked.append((path, status))
        return status, headers, body


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = site.answer(self.path, dict(self.headers))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    server.server_close()


@pytest.fixture
def listing(site: Site, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The versions by path of a new source of the site; `read` collects the bytes too."""

    def list_it(
        query: str = "", start: str = "/", read: dict[str, bytes] | None = None, **globs: Any
    ) -> dict[str, str]:
        uri = f"site+{site.url}{start}?delay_s=0{query}"
        with closing(open_source(uri, state_dir=tmp_path, **globs)) as source:
            files = list(source.list())
            if read is not None:
                read.update({file.path: read_bytes(source, file.path) for file in files})
            return {file.path: file.version for file in files}

    return list_it


def test_a_crawl_stays_below_its_start_and_within_its_depth(site: Site, listing: Callable[..., dict[str, str]]) -> None:
    site.page("/docs/", "a", "sub/", "/other/", "https://elsewhere.example/", "a#part", "b.html?sort=1", "mailto:x@y")
    site.page("/docs/a", "deep", "./../docs/a")
    site.page("/docs/deep", "deeper")
    site.page("/docs/deeper")
    site.page("/docs/sub/", "notes.txt", "../")
    site.pages["/docs/sub/notes.txt"] = (200, {"Content-Type": "text/plain"}, b"notes")
    read: dict[str, bytes] = {}
    found = listing("&depth=2", "/docs/", read)
    assert list(found) == ["a.html", "deep.html", "index.html", "sub/index.html", "sub/notes.txt"]
    assert read["sub/notes.txt"] == b"notes"
    assert len(site.asked) == 5
    assert list(listing("", "/docs/", exclude=["sub/"])) == ["a.html", "deep.html", "deeper.html", "index.html"]
    with pytest.raises(SourceError, match="has more than 2 pages"):
        listing("&pages=2", "/docs/")


def test_unchanged_pages_are_asked_for_conditionally(site: Site, listing: Callable[..., dict[str, str]]) -> None:
    site.page("/", "/a", "/b", ETag='"1"')
    site.page("/a", "/c", Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")
    site.page("/b")
    site.page("/c", ETag='W/"c"')
    first = listing()
    site.asked.clear()
    read: dict[str, bytes] = {}
    assert listing(read=read) == first
    # The bodies are fetched where a reader wants them although the page is unchanged.
    assert dict(site.asked[:4]) == {"/": 304, "/a": 304, "/b": 200, "/c": 304}
    assert b"<h1>/c</h1>" in read["c.html"]
    site.page("/a", text="changed", Last_Modified="Fri, 02 Jan 2026 00:00:00 GMT")
    third = listing()
    assert third["a.html"] != first["a.html"]
    # The page that only /a linked to is gone with the link.
    assert "c.html" not in third


def test_a_sitemap_names_the_pages(site: Site, listing: Callable[..., dict[str, str]]) -> None:
    site.page("/one")
    site.page("/two", "/three")
    site.page("/three")
    index = f"<sitemapindex><sitemap><loc>{site.url}/sitemap2.xml</loc></sitemap></sitemapindex>"
    urls = "".join(f"<url><loc>{site.url}{path}</loc></url>" for path in ("/one", "/two", "/gone", "/secret"))
    xml = f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'
    site.pages["/sitemap1.xml"] = (200, {}, index.encode())
    site.pages["/sitemap2.xml"] = (200, {}, xml.encode())
    site.page("/secret")
    site.pages["/robots.txt"] = (
        200,
        {},
        f"Sitemap: {site.url}/sitemap1.xml\nUser-agent: *\nDisallow: /secret".encode(),
    )
    assert list(listing()) == ["one.html", "two.html"]
    with pytest.raises(SourceError, match="does not exist"):
        listing("&sitemap=no")
    site.pages["/sitemap2.xml"] = (200, {}, b"<!DOCTYPE x [<!ENTITY a 'b'>]><urlset/>")
    with pytest.raises(SourceError, match="declares entities"):
        listing()
    site.pages["/sitemap2.xml"] = (500, {}, b"")
    with pytest.raises(SourceError, match="cannot be read"):
        listing()


def test_redirects_lead_to_one_document_and_loops_to_a_reason(
    site: Site, listing: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    site.page("/", "/old", "/new", "/loop", "/away", "/gone", "/broken")
    site.page("/new")
    site.pages["/old"] = (301, {"Location": "/new"}, b"")
    site.pages["/loop"] = (302, {"Location": "/loop2"}, b"")
    site.pages["/loop2"] = (302, {"Location": "/loop"}, b"")
    site.pages["/away"] = (302, {"Location": "https://elsewhere.example/"}, b"")
    site.pages["/gone"] = (410, {}, b"")
    site.pages["/broken"] = (500, {}, b"")
    with closing(open_source(f"site+{site.url}/?delay_s=0", state_dir=tmp_path)) as source:
        found = {file.path: file.version for file in source.list()}
        assert list(found) == ["broken", "index.html", "loop", "new.html"]
        assert (found["broken"], found["loop"]) == ("", "")
        with pytest.raises(DocumentError, match="status 500"):
            source.read("broken")
        with pytest.raises(DocumentError, match="in a circle"):
            source.read("loop")


def test_a_busy_site_is_waited_for_as_long_as_it_asks(
    site: Site, listing: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(
        "rag_assets.documents.sources.web.fetcher.time.sleep",
        lambda seconds: waits.append(seconds) if seconds else None,
    )
    site.page("/", "/a")
    site.page("/a")
    page, busy = site.pages["/a"], iter([(429, {"Retry-After": "7"}, b""), (503, {}, b"")])
    site.pages["/a"] = lambda: next(busy, page)
    assert list(listing()) == ["a.html", "index.html"]
    assert waits == [7.0, 4.0]
    site.pages["/a"] = (429, {"Retry-After": "3600"}, b"")
    with pytest.raises(SourceError, match="asks to wait for 3600 s"):
        listing()
    site.pages["/a"] = (429, {"Retry-After": "1"}, b"")
    with pytest.raises(SourceError, match="refuses requests"):
        listing()


def test_a_pause_is_made_between_requests(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("rag_assets.documents.sources.web.fetcher.time.sleep", waits.append)
    site.page("/", "/a")
    site.page("/a")
    site.pages["/robots.txt"] = (200, {}, b"User-agent: *\nCrawl-delay: 5")
    with closing(open_source(f"site+{site.url}/?sitemap=no", state_dir=tmp_path)) as source:
        assert len(list(source.list())) == 2
    assert [round(wait) for wait in waits[1:]] == [5, 5]


def test_changed_navigation_is_the_same_text(site: Site, listing: Callable[..., dict[str, str]]) -> None:
    words = "A tram leaves the harbour every ten minutes, and takes a quarter of an hour to the old town. " * 4
    texts = []
    for nav in ("<a href='/x'>Home</a>", "<a href='/x'>Start</a><a href='/y'>News</a>"):
        site.page("/", text=words, nav=nav)
        read: dict[str, bytes] = {}
        listing(read=read)
        with DocumentParser(workers=1) as parser:
            texts.append(parser.parse("index.html", read["index.html"]).content)
    assert texts[0] == texts[1]
    assert "harbour" in texts[0]


@pytest.mark.parametrize(
    ("robots", "message"),
    [
        ((200, {}, b"User-agent: *\nDisallow: /"), "must not be read, by the robots.txt"),
        ((500, {}, b""), "robots.txt cannot be read"),
    ],
)
def test_robots_are_obeyed(site: Site, listing: Callable[..., dict[str, str]], robots: Answer, message: str) -> None:
    site.page("/")
    site.pages["/robots.txt"] = robots
    with pytest.raises(SourceError, match=message):
        listing()


def test_addresses_are_canonical() -> None:
    assert canonical_uri("site+HTTPS://Example.com:443/docs/../a/?pages=5&depth=1") == (
        "site+https://example.com/a/?depth=1&pages=5"
    )
    assert source_name("site+https://example.com/docs/?depth=1") == "docs"
    assert normalize_url("https://e.com/a%7Eb/./c#x") == "https://e.com/a~b/c"
    for wrong in ("site+https://me:secret@example.com/", "site+https://example.com/?depth=x", "site+https:///x"):
        with pytest.raises(UsageError) as raised:
            canonical_uri(wrong)
        assert "secret" not in str(raised.value)
