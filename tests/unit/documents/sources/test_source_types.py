"""Source types that other packages register by an entry point: discovery, opening and validation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rag_assets.documents.sources import Source, SourceFile, canonical_uri, open_source
from rag_assets.documents.sources.source_types import ENTRY_POINT_GROUP
from rag_assets.errors import DocumentError, SourceError, UsageError
from tests.support.installation.packages import install_package

CODE = """
from rag_assets.documents.sources import SourceFile
from rag_assets.errors import DocumentError, SourceError

LISTED = []
BYTES = {}
OPENED = []


class Wiki:
    def __init__(self, uri, **options):
        if uri.endswith("/away"):
            raise ConnectionError("the wiki does not answer")
        if uri.endswith("/refused"):
            raise SourceError("no such wiki: name one of ours")
        self.uri = uri
        self.closed = False
        OPENED.append((uri, options, self))

    def list(self):
        for item in LISTED:
            if isinstance(item, Exception):
                raise item
            yield item

    def read(self, path):
        found = BYTES[path]
        if isinstance(found, Exception):
            raise found
        return found

    def close(self):
        self.closed = True


class NoSource:
    uri = ""


NOT_CALLABLE = 1
"""

Install = Callable[..., Any]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package with these entry points and return its module."""

    def install(package: str = "ourwiki", code: str = CODE, **entry_points: str) -> Any:
        from importlib import import_module

        points: Mapping[str, str] = entry_points or {"wiki": "ourwiki:Wiki"}
        install_package(tmp_path, monkeypatch, package, code, points, ENTRY_POINT_GROUP)
        return import_module(package) if code == CODE else None

    return install


@pytest.fixture
def wiki(install: Install) -> Any:
    module = install()
    module.LISTED += [SourceFile("b.md", "2", 1), SourceFile("sub/a.md", "1", None), SourceFile(".draft.md", "1", 1)]
    module.BYTES.update({"b.md": b"text of b", "sub/a.md": b"text of a"})
    return module


def paths(source: Source) -> list[str]:
    return [file.path for file in source.list()]


def test_the_scheme_opens_the_registered_source(wiki: Any) -> None:
    source = open_source("wiki://host/space", include=["*.md"], exclude=["/none"], max_bytes=100)
    [(uri, options, opened)] = wiki.OPENED
    assert uri == source.uri == "wiki://host/space"
    assert options == {"include": ("*.md",), "exclude": ("/none",), "max_bytes": 100}
    assert list(source.list()) == [SourceFile("b.md", "2", 1), SourceFile("sub/a.md", "1", None)]
    assert source.read("sub/a.md") == b"text of a"
    source.close()
    assert opened.closed


def test_a_listing_is_sorted_and_filtered(wiki: Any) -> None:
    wiki.LISTED.reverse()
    assert paths(open_source("wiki://x")) == ["b.md", "sub/a.md"]
    assert paths(open_source("wiki://x", exclude=["sub/"])) == ["b.md"]
    assert paths(open_source("wiki://x", include=[".draft.md"])) == [".draft.md"]


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("WIKI://Host/Space/", "wiki://Host/Space"),
        ("wiki://", "wiki://"),
        ("wiki://host?label=a::b", "wiki://host?label=a::b"),
        ("file:///a/b", "/a/b"),
    ],
)
def test_a_uri_has_one_canonical_form(install: Install, given: str, canonical: str) -> None:
    install(wiki="ourwiki:Wiki", file="ourwiki:Wiki")
    assert canonical_uri(given) == canonical_uri(canonical) == canonical


def test_credentials_are_refused_and_not_shown(wiki: Any) -> None:
    for uri in ("wiki://user:hunter2@host/space", "wiki://host/space?token=hunter2"):
        with pytest.raises(
            UsageError, match=r"carries credentials.*the variables that its source type reads"
        ) as raised:
            open_source(uri)
        assert "hunter2" not in str(raised.value)
    assert not wiki.OPENED


def test_a_registered_scheme_takes_precedence_over_fsspec(install: Install) -> None:
    module = install(memory="ourwiki:Wiki")
    module.LISTED.append(SourceFile("a.md", "1", 1))
    assert paths(open_source("memory://x")) == ["a.md"]


def test_a_registered_scheme_cannot_be_part_of_a_chain(wiki: Any) -> None:
    with pytest.raises(UsageError, match=r"wiki:// is a registered source type, which cannot be part of a chain"):
        open_source("zip://::wiki://x")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:Wiki", r"wiki = no_such_module:Wiki of ourwiki cannot be loaded \(ModuleNotFoundError"),
        ("ourwiki:Nothing", r"cannot be loaded \(AttributeError: .*Nothing.*\); correct or uninstall its package"),
        ("ourwiki:NOT_CALLABLE", "is not callable; name a class or function that returns a source"),
        ("ourwiki:NoSource", r"cannot be opened by the source type wiki = ourwiki:NoSource of ourwiki \(TypeError"),
        ("builtins:dict", "cannot be opened by the source type"),
    ],
)
def test_the_error_for_a_broken_entry_point_names_it(install: Install, value: str, message: str) -> None:
    install(wiki=value)
    with pytest.raises(UsageError, match=message):
        open_source("wiki://x")


def test_the_error_for_a_module_that_fails_to_import_names_it(install: Install) -> None:
    install(code="1 / 0")
    with pytest.raises(UsageError, match=r"wiki = ourwiki:Wiki of ourwiki cannot be loaded \(ZeroDivisionError"):
        open_source("wiki://x")


def test_the_error_for_an_incomplete_source_names_missing_methods(install: Install) -> None:
    install(code="class Wiki:\n    def __init__(self, uri, **options): self.uri = uri\n    def list(self): ...\n")
    with pytest.raises(UsageError, match="returned an object of type Wiki without read, close; a source has uri, list"):
        open_source("wiki://x")


def test_two_packages_with_one_scheme_are_refused(install: Install) -> None:
    install()
    install("theirwiki", CODE + "\n", wiki="theirwiki:Wiki")
    for attempt in (canonical_uri, open_source):
        with pytest.raises(
            UsageError, match="wiki:// is registered by wiki = ourwiki:Wiki of ourwiki and by wiki = their"
        ):
            attempt("wiki://x")


def test_errors_while_opening_have_the_uri(wiki: Any) -> None:
    with pytest.raises(SourceError, match=r"wiki://x/away cannot be opened by .* \(ConnectionError: the wiki does not"):
        open_source("wiki://x/away")
    with pytest.raises(SourceError, match=r"^no such wiki: name one of ours$"):
        open_source("wiki://x/refused")


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("a.md", "lists an object of type str; list.. must yield SourceFile objects"),
        (SourceFile("/a.md", "", 1), "lists the path '/a.md'; a path must be relative"),
        (SourceFile("sub/../a.md", "", 1), "lists the path 'sub/../a.md'"),
        (SourceFile("", "", 1), "lists the path ''"),
        (SourceFile("a\0.md", "", 1), r"lists the path 'a\\x00.md'"),
        (SourceFile(None, "", 1), "lists the path None"),  # type: ignore[arg-type]
        (SourceFile("b.md", "", 1), "lists 'b.md' twice"),
        (SourceFile("a.md", 7, 1), "with the version 7; a version must be text"),  # type: ignore[arg-type]
        (SourceFile("a.md", "", "1"), "with size_bytes '1'; give a number of bytes, or None"),  # type: ignore[arg-type]
        (SourceFile("a.md", "", -1), "with size_bytes -1"),
        (TimeoutError("no answer"), r"wiki://x cannot be listed \(TimeoutError: no answer\)"),
        (SourceError("page 3 of 7 is missing"), "^page 3 of 7 is missing$"),
    ],
)
def test_an_invalid_listing_is_refused_before_the_first_file(wiki: Any, listed: Any, message: str) -> None:
    wiki.LISTED.append(listed)
    with pytest.raises(SourceError, match=message):
        next(open_source("wiki://x").list())


@pytest.mark.parametrize(
    ("found", "error", "message"),
    [
        (KeyError("b.md"), DocumentError, r"'b.md' cannot be read \(KeyError: 'b.md'\)"),
        (DocumentError("it is locked"), DocumentError, "^it is locked$"),
        (SourceError("the wiki is away"), SourceError, "^the wiki is away$"),
        ("text", SourceError, r"wiki://x returned 'b.md' as str; read\(\) must return bytes"),
        (b"x" * 101, DocumentError, "larger than the limit of 100 bytes"),
    ],
)
def test_errors_while_reading_are_document_or_source_errors(
    wiki: Any, found: Any, error: type[Exception], message: str
) -> None:
    wiki.BYTES["b.md"] = found
    with pytest.raises(error, match=message) as raised:
        open_source("wiki://x", max_bytes=100).read("b.md")
    assert type(raised.value) is error
