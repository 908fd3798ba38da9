import io
import os
import pickle
import tarfile
import uuid
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import fsspec
import pytest

from rag_assets.documents.sources import open_source
from rag_assets.documents.sources.base import SourceFile, read_bytes
from rag_assets.errors import DocumentError, SourceError

MEMBERS = ["README.md", "docs/a.md", "docs/deep/b.md", "docs/logo.png", ".git/config", "é#?%[x].md"]


def write_zip(file: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as into:
        for name, text in members.items():
            into.writestr(name, text)
    return file


def texts(uri: str, **options: object) -> dict[str, str]:
    source = open_source(uri, **options)  # type: ignore[arg-type]
    return {file.path: read_bytes(source, file.path).decode() for file in source.list()}


@pytest.fixture
def zip_file(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "a.zip", {name: f"text of {name}" for name in MEMBERS})


@pytest.fixture
def bucket() -> Iterator[str]:
    fs = fsspec.filesystem("memory")
    folder = f"/{uuid.uuid4().hex}"
    for name in MEMBERS:
        fs.pipe_file(f"{folder}/{name}", f"text of {name}".encode())
    yield f"memory:/{folder}"
    fs.rm(folder, recursive=True)


@pytest.mark.parametrize(
    ("inside", "wanted"),
    [
        ("", ["README.md", "docs/a.md", "docs/deep/b.md", "é#?%[x].md"]),
        ("docs", ["a.md", "deep/b.md"]),
        ("docs/", ["a.md", "deep/b.md"]),
        ("docs/**", ["a.md", "deep/b.md"]),
        ("docs/*/b.md", ["deep/b.md"]),
        ("*.md", ["README.md", "é#?%[x].md"]),
        ("docs/a.md", ["a.md"]),
        ("docs/logo.png", ["logo.png"]),
        ("é#?%[x].md", ["é#?%[x].md"]),
    ],
)
def test_the_inner_path_or_glob_selects_files_of_a_zip(zip_file: Path, inside: str, wanted: list[str]) -> None:
    found = texts(f"zip://{inside}::{zip_file}")
    assert list(found) == wanted
    assert all(text.endswith(path) for path, text in found.items())


def test_a_relative_zip_path_becomes_absolute(zip_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(zip_file.parent)
    uri = open_source("zip://docs::a.zip").uri
    monkeypatch.chdir("/")
    assert list(texts(uri)) == ["a.md", "deep/b.md"]


def test_versions_in_a_zip_depend_on_the_content(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"a.md": "one", "b.md": "same"})
    source = open_source(f"zip://::{file}")
    first = {file.path: file.version for file in source.list()}
    write_zip(file, {"a.md": "two", "b.md": "same"})
    second = {file.path: file.version for file in source.list()}
    assert first["b.md"] == second["b.md"] != ""
    assert first["a.md"] != second["a.md"]
    assert source.read("a.md") == b"two"


def test_files_in_a_tar_have_no_version(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as into:
        for name in MEMBERS:
            member = tarfile.TarInfo(name)
            member.size = 4
            member.mtime = 1_700_000_000
            into.addfile(member, io.BytesIO(b"text"))
    source = open_source(f"tar://docs::{tmp_path / 'a.tar.gz'}")
    files = list(source.list())
    assert files == [SourceFile("a.md", "", 4), SourceFile("deep/b.md", "", 4)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(source.read, [file.path for file in files] * 50)) == {b"text"}


def test_a_damaged_member_of_a_zip_fails_when_read(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"a.md": "a" * 100, "b.md": "text"})
    raw = bytearray(file.read_bytes())
    raw[36] ^= 0xFF
    file.write_bytes(raw)
    source = open_source(f"zip://::{file}")
    assert [file.path for file in source.list()] == ["a.md", "b.md"]
    with pytest.raises(DocumentError, match=r"'a\.md' cannot be read"):
        source.read("a.md")
    assert source.read("b.md") == b"text"


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut"])
def test_an_invalid_archive_cannot_be_listed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.zip cannot be opened"):
        list(open_source(f"zip://::{tmp_path / 'a.zip'}").list())


@pytest.mark.parametrize("uri", ["zip://::{}/none.zip", "zip://none::{}/a.zip", "memory://none/at/all"])
def test_a_missing_archive_or_folder_cannot_be_listed(zip_file: Path, uri: str) -> None:
    source = open_source(uri.format(zip_file.parent))
    with pytest.raises(SourceError, match="cannot be opened"):
        list(source.list())


def test_members_with_paths_outside_the_zip_are_skipped(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"../evil.md": "x", "docs/../../evil.md": "x", "a.md": "x"})
    assert list(texts(f"zip://::{file}")) == ["a.md"]


def test_many_threads_read_one_zip(tmp_path: Path) -> None:
    members = {f"{at}.md": f"{at}" * 5000 for at in range(100)}
    source = open_source(f"zip://::{write_zip(tmp_path / 'a.zip', members)}")
    files = [file.path for file in source.list()]
    with ThreadPoolExecutor(8) as pool:
        assert (
            dict(zip(files, (data.decode() for data in pool.map(partial(read_bytes, source), files)), strict=True))
            == members
        )


def test_a_file_system_without_modification_times_has_no_versions(bucket: str) -> None:
    source = open_source(bucket)
    assert [(file.path, file.version) for file in source.list()] == [
        ("README.md", ""), ("docs/a.md", ""), ("docs/deep/b.md", ""), ("é#?%[x].md", "")
    ]  # fmt: skip
    assert source.read("docs/deep/b.md") == b"text of docs/deep/b.md"


def test_each_listing_is_fresh(bucket: str) -> None:
    source = open_source(bucket)
    before = [file.path for file in source.list()]
    fs, root = fsspec.core.url_to_fs(bucket)
    fs.pipe_file(f"{root}/new.md", b"new")
    fs.rm_file(f"{root}/README.md")
    after = [file.path for file in source.list()]
    assert set(after) ^ set(before) == {"new.md", "README.md"}
    with pytest.raises(DocumentError, match=r"'README\.md' cannot be read \(FileNotFoundError"):
        source.read("README.md")


def test_globs_apply_to_remote_sources(bucket: str) -> None:
    assert list(texts(bucket, include=["*.png", "docs/"], exclude=["deep/"])) == [
        "docs/a.md",
        "docs/logo.png",
    ]


def test_a_remote_file_over_the_size_limit_is_listed_but_not_read(bucket: str, zip_file: Path) -> None:
    for uri in (f"{bucket}/docs", f"zip://docs::{zip_file}"):
        source = open_source(uri, max_bytes=16)
        assert [file.path for file in source.list()] == ["a.md", "deep/b.md"]
        with pytest.raises(DocumentError, match="larger than the limit of 16 bytes"):
            source.read("a.md")


def test_object_keys_with_a_leading_slash_have_relative_paths() -> None:
    fs = fsspec.filesystem("memory")
    folder = f"/{uuid.uuid4().hex}"
    fs.pipe_file(f"{folder}//a.md", b"text")
    found = texts(f"memory:/{folder}")
    assert list(found.values()) == ["text"]
    assert not next(iter(found)).startswith("/")


def test_a_changed_file_is_not_read_from_the_cache(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("one")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    source = open_source(f"simplecache::file://{file}")
    first = next(source.list())
    assert source.read(first.path) == b"one"
    file.write_text("two, longer")
    second = next(source.list())
    assert (first.path, first.version != second.version) == ("a.md", True)
    assert source.read("a.md") == b"two, longer"


def test_a_remote_source_can_be_pickled(zip_file: Path) -> None:
    source = open_source(f"zip://docs::{zip_file}", exclude=["deep/"])
    list(source.list())
    again = pickle.loads(pickle.dumps(source))
    assert again.read("a.md") == b"text of docs/a.md"
    assert (again.uri, list(again.list())) == (source.uri, list(source.list()))
