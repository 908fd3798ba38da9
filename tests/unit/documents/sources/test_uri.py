import os
from pathlib import Path

import pytest

from rag_assets.documents.sources import TOPICS_URI, canonical_uri, open_source
from rag_assets.errors import UsageError


@pytest.fixture(autouse=True)
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("docs", "{cwd}/docs"),
        ("./docs/", "{cwd}/docs"),
        (".", "{cwd}"),
        ("docs/../other", "{cwd}/other"),
        ("/a/b//c/", "/a/b/c"),
        ("file:///a/b", "/a/b"),
        ("file:///a/with%20space", "/a/with space"),
        ("file://docs", "{cwd}/docs"),
        ("zip://::a.zip", "zip://::{cwd}/a.zip"),
        ("zip::a.zip", "zip://::{cwd}/a.zip"),
        ("zip://docs/**::file://a.zip", "zip://docs/**::{cwd}/a.zip"),
        ("zip://*.md::s3://bucket/a.zip", "zip://*.md::s3://bucket/a.zip"),
        ("simplecache::https://h/a.md", "simplecache://::https://h/a.md"),
        ("S3://Bucket/Docs/", "s3://Bucket/Docs"),
        ("s3://bucket/", "s3://bucket"),
        ("https://h/docs/", "https://h/docs/"),
        ("https://h:8080/a?page=1", "https://h:8080/a?page=1"),
        ("http://[::1]:80/a".replace("::", ":0:"), "http://[:0:1]:80/a"),
        ("s3://arn:aws:s3:us-west-2:1:accesspoint/x/k", "s3://arn:aws:s3:us-west-2:1:accesspoint/x/k"),
        ("abfs://box@account.dfs.core.windows.net/x", "abfs://box@account.dfs.core.windows.net/x"),
        ("sftp://me@host:22/x", "sftp://me@host:22/x"),
        ("github://org:repo@main/docs", "github://org:repo@main/docs"),
        ("memory://a:b@c", "memory://a:b@c"),
        (TOPICS_URI, TOPICS_URI),
    ],
)  # fmt: skip
def test_a_uri_has_one_canonical_form(given: str, canonical: str, cwd: Path) -> None:
    wanted = canonical.format(cwd=cwd)
    assert canonical_uri(given) == wanted
    assert canonical_uri(wanted) == wanted


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, cwd: Path) -> None:
    monkeypatch.setenv("HOME", str(cwd))
    assert canonical_uri("~/docs") == f"{cwd}/docs"


def test_a_symbolic_link_is_not_resolved(cwd: Path) -> None:
    for release in ("one", "two"):
        (cwd / release).mkdir()
        (cwd / release / f"{release}.md").touch()
    (cwd / "current").symlink_to("one")
    uri = canonical_uri("current")
    (cwd / "current").unlink()
    (cwd / "current").symlink_to("two")
    assert [file.path for file in open_source(uri).list()] == ["two.md"]


def test_an_existing_local_path_that_looks_like_a_url_is_local(cwd: Path) -> None:
    (cwd / "a::b").mkdir()
    assert canonical_uri("a::b") == f"{cwd}/a::b"
    assert canonical_uri(Path("s3:/x")) == f"{cwd}/s3:/x"


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIAKEY:hunter2@bucket/docs",
        "s3://AKIAKEY:hun/ter2@bucket/docs",
        "https://user:hunter2@host/docs/",
        "https://hunter2@host/docs",
        "HTTPS://user:hunter2@host/docs",
        "ftp://user:hunter2@host/docs",
        "sftp://user:hunter2@host:22/docs",
        "smb://user:hunter2@host/share",
        "zip://::https://user:hunter2@host/a.zip",
        "simplecache::s3://AKIAKEY:hunter2@bucket/docs",
        "https://host/a?X-Amz-Signature=hunter2&X-Amz-Expires=60",
        "https://account.blob.core.windows.net/box/a?sv=1&sig=hunter2",
        "https://host?token=hunter2",
        "https://host/a?api_key=hunter2",
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_shown(address: str) -> None:
    for attempt in (canonical_uri, open_source):
        with pytest.raises(UsageError, match="carries credentials") as raised:
            attempt(address)
        assert "hunter2" not in str(raised.value)
        assert "AKIAKEY" not in str(raised.value)
        assert "environment" in str(raised.value)


@pytest.mark.parametrize("address", ["", "  ", "a\0b", "zip://docs/a.md", "zip:///path/a.zip"])
def test_an_invalid_uri_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        canonical_uri(address)


def test_the_error_for_an_unknown_protocol_suggests_similar_ones() -> None:
    with pytest.raises(UsageError, match=r"s4:// is not known; did you mean .*s3://"):
        open_source("s4://bucket/x")
    with pytest.raises(UsageError, match=r"qqqqqqqq:// is not known"):
        open_source("qqqqqqqq://x")


def test_the_error_for_a_missing_package_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither package is installed with this one or its tests.
    with pytest.raises(UsageError, match=r"oss:// needs .*pip install 'ossfs'"):
        open_source("oss://bucket/x")
    with pytest.raises(UsageError, match=r"smb:// needs .*pip install 'fsspec\[smb\]'"):
        open_source("zip://::smb://host/a.zip")


def test_a_name_that_is_not_utf8_is_escaped_once(cwd: Path) -> None:
    folder = cwd / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    uri = canonical_uri(folder)
    assert uri == canonical_uri(uri) == f"{cwd}/caf\ufffdDCE9"
