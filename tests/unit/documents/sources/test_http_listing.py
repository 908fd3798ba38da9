import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_assets.documents.sources import SourceFile, open_source
from rag_assets.documents.sources.base import read_bytes
from rag_assets.errors import DocumentError, SourceError

pytest.importorskip("aiohttp", reason="fsspec reads http(s) through aiohttp, which users install themselves")

LONG_AGO = 1_700_000_000


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/tagged.md":
            self._send(b"tagged", {"ETag": '"v1"'})
        elif self.path == "/stream.md":
            self._send(b"x" * 5000, {}, with_length=False)
        elif self.path == "/moved.md":
            self.send_response(302)
            self.send_header("Location", "/broken.md?X-Amz-Signature=hunter2")
            self.end_headers()
        elif self.path == "/maze/":
            links = "./ ../ ../maze/ /maze/ ?C=N;O=D a.md a.md#part /a.md a.md?x=1 https://away.invalid/x dead/"
            self._send(
                "".join(f'<a href="{link}">x</a>' for link in links.split()).encode(),
                {"Content-Type": "text/html"},
            )
        elif self.path == "/maze/a.md":
            self._send(b"text", {})
        elif self.path.startswith("/broken"):
            self.send_error(500)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        if self.path.startswith(("/tagged", "/stream", "/moved", "/maze", "/broken")):
            self.do_GET()
        else:
            super().do_HEAD()

    def _send(self, body: bytes, headers: dict[str, str], with_length: bool = True) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        if with_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    for name in ["a.md", "sub/b c.md", "sub/deep/é#%.md", "sub/logo.png", "sub/.hidden.md"]:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text of {name}")
        os.utime(file, (LONG_AGO, LONG_AGO))
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()
        thread.join()


def test_a_file_url_is_one_document_versioned_by_last_modified(server: str) -> None:
    source = open_source(f"{server}/a.md")
    assert list(source.list()) == [SourceFile("a.md", f"{LONG_AGO}.0-12", 12)]
    assert source.read("a.md") == b"text of a.md"


def test_an_etag_is_the_version(server: str) -> None:
    assert list(open_source(f"{server}/tagged.md").list()) == [SourceFile("tagged.md", '"v1"-6', 6)]


def test_a_file_modified_just_now_has_no_version(server: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("new")
    assert next(open_source(f"{server}/a.md").list()).version == ""


def test_a_url_that_ends_with_a_slash_is_a_folder(server: str) -> None:
    source = open_source(f"{server}/sub/")
    files = list(source.list())
    assert [file.path for file in files] == ["b c.md", "deep/é#%.md"]
    assert [read_bytes(source, file.path).decode() for file in files] == [
        "text of sub/b c.md",
        "text of sub/deep/é#%.md",
    ]
    assert all(file.version.startswith(f"{LONG_AGO}.0-") for file in files)


def test_only_links_below_the_listing_are_followed(server: str) -> None:
    source = open_source(f"{server}/maze/")
    assert [file.path for file in source.list()] == ["a.md"]
    assert source.read("a.md") == b"text"


def test_the_limit_applies_to_files_of_unknown_length(server: str) -> None:
    assert len(read_bytes(open_source(f"{server}/stream.md", max_bytes=5000), "stream.md")) == 5000
    with pytest.raises(DocumentError, match="larger than the limit"):
        open_source(f"{server}/stream.md", max_bytes=4999).read("stream.md")


@pytest.mark.parametrize("path", ["none.md", "none/", "broken.md", "broken/"])
def test_a_url_that_fails_cannot_be_listed(server: str, path: str) -> None:
    with pytest.raises(SourceError, match="cannot be listed"):
        list(open_source(f"{server}/{path}").list())


def test_the_error_for_an_unreachable_server_has_the_reason() -> None:
    with pytest.raises(SourceError, match="Connect call failed"):
        list(open_source("http://127.0.0.1:1/a.md").list())


def test_a_removed_document_fails_when_read(server: str, tmp_path: Path) -> None:
    source = open_source(f"{server}/sub/")
    list(source.list())
    (tmp_path / "sub/b c.md").unlink()
    with pytest.raises(DocumentError, match=r"'b c\.md' cannot be read"):
        source.read("b c.md")


def test_a_signature_in_a_redirect_is_not_shown(server: str) -> None:
    with pytest.raises(DocumentError) as raised:
        open_source(f"{server}/moved.md").read("moved.md")
    assert "broken.md?..." in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_an_archive_on_a_server_is_read_in_place(server: str, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as into:
        into.writestr("docs/x.md", "inner")
    source = open_source(f"zip://docs::simplecache::{server}/a.zip")
    assert [file.path for file in source.list()] == ["x.md"]
    assert source.read("x.md") == b"inner"
