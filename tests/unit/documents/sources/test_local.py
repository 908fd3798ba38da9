import os
import pickle
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from rag_assets.documents.sources import SourceFile, canonical_uri, open_source
from rag_assets.documents.sources.base import WithheldError, read_bytes
from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.sources.local import open_local
from rag_assets.errors import DocumentError, SourceError

NOBODY = 65534


def write(folder: Path, *paths: str) -> Path:
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path, encoding="utf-8", errors="surrogateescape")
        os.utime(file, (1_700_000_000.5, 1_700_000_000.5))
    return folder


def paths(folder: Path, **options: object) -> list[str]:
    return [file.path for file in open_source(folder, **options).list()]  # type: ignore[arg-type]


@contextmanager
def without_root_rights() -> Iterator[None]:
    """Run as another user where the tests run as root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that other users may enter; they may not enter those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def test_files_are_listed_in_order_of_their_paths_and_read(tmp_path: Path) -> None:
    write(tmp_path, "b.md", "a/c.md", "a.md", "a-b/x.md", "a/b/d.md", "Z.md")
    source = open_source(tmp_path)
    files = list(source.list())
    assert [file.path for file in files] == ["Z.md", "a-b/x.md", "a.md", "a/b/d.md", "a/c.md", "b.md"]
    assert [file.path for file in files] == sorted(file.path for file in files)
    assert all(read_bytes(source, file.path).decode() == file.path for file in files)
    assert files[2] == SourceFile("a.md", "1700000000500000000-4", 4)


def test_version_changes_with_size_and_modification_time(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    source = open_source(tmp_path)
    first = next(source.list()).version
    assert next(source.list()).version == first
    (tmp_path / "a.md").write_text("b.md")
    os.utime(tmp_path / "a.md", (1_700_000_001, 1_700_000_001))
    second = next(source.list()).version
    (tmp_path / "a.md").write_text("longer")
    os.utime(tmp_path / "a.md", (1_700_000_001, 1_700_000_001))
    assert len({first, second, next(source.list()).version}) == 3


def test_a_file_modified_just_now_has_no_version(tmp_path: Path) -> None:
    file = write(tmp_path, "a.md") / "a.md"
    now_ns = time.time_ns() // 10**9 * 10**9
    os.utime(file, ns=(now_ns, now_ns))
    assert next(open_source(tmp_path).list()).version == ""


@pytest.mark.parametrize(
    "name",
    [
        *(
            "sp ace.md",
            "new\nline.md",
            "x#y?z%20[a].md",
            "*.md",
            "e\u0301.md",
            "é.md",
            "\U0001f600.md",
            "-",
            "a\\b.md",
        ),
        *(os.fsdecode(b"\xff.md"), "\ufffd.md", "\ufffdDCFF.md", "a\u202eb.md", "~", "$HOME", "::", "file:"),
    ],
)
def test_any_file_name_becomes_a_valid_utf8_path_that_can_be_read(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, f"{name}x/{name}")
    source = open_source(tmp_path)
    files = list(source.list())
    assert len({file.path for file in files}) == 2
    for file in files:
        file.path.encode()
        assert read_bytes(source, file.path).decode(errors="surrogateescape") in (name, f"{name}x/{name}")


def test_different_file_names_have_different_paths(tmp_path: Path) -> None:
    names = [
        "\udcff.md",
        "\ufffd.md",
        "\ufffdDCFF.md",
        "\ufffdFFFD.md",
        "\udcef\udcbf.md",
        "é.md",
        "e\u0301.md",
    ]
    write(tmp_path, *names)
    source = open_source(tmp_path)
    texts = {file.path: read_bytes(source, file.path) for file in source.list()}
    assert sorted(texts.values()) == sorted(os.fsencode(name) for name in names)


def test_a_folder_name_that_is_not_utf8_becomes_a_valid_uri(tmp_path: Path) -> None:
    write(tmp_path, "\udcfe/a.md")
    uri = open_source(tmp_path / "\udcfe").uri
    uri.encode()
    source = open_source(uri)
    assert (source.uri, [file.path for file in source.list()]) == (uri, ["a.md"])
    assert read_bytes(source, "a.md").endswith(b"a.md")


@pytest.mark.parametrize("follow_links", [False, True])
def test_links_to_files_in_the_source_are_followed_and_links_to_folders_are_not(
    tmp_path: Path, follow_links: bool
) -> None:
    write(tmp_path, "in/a.md", "in/deep/b.md")
    outside = write(tmp_path, "out/secret.md") / "out"
    (tmp_path / "in/loop").symlink_to("..")
    (tmp_path / "in/self").symlink_to(".")
    (tmp_path / "in/deep/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/everything").symlink_to("/")
    (tmp_path / "in/outside").symlink_to(outside)
    (tmp_path / "in/link.md").symlink_to(outside / "secret.md")
    (tmp_path / "in/inside.md").symlink_to("deep/../a.md")
    (tmp_path / "in/eats-itself.md").symlink_to("eats-itself.md")
    source = open_source(tmp_path / "in", follow_links=follow_links)
    files = {file.path: file.version for file in source.list()}
    assert list(files) == ["a.md", "deep/b.md", "eats-itself.md", "inside.md", "link.md"]
    assert source.read("inside.md") == b"in/a.md"
    assert (files["link.md"] == "outside") is not follow_links
    if follow_links:
        assert source.read("link.md") == b"out/secret.md"
    else:
        with pytest.raises(WithheldError, match="a link to a file outside of its source"):
            source.read("link.md")
    with pytest.raises(DocumentError, match=r"eats-itself\.md"):
        source.read("eats-itself.md")


def test_a_broken_link_is_listed_and_fails_when_read(tmp_path: Path) -> None:
    (tmp_path / "away.md").symlink_to("/nowhere/at/all.md")
    source = open_source(tmp_path)
    assert list(source.list()) == [SourceFile("away.md", "", None)]
    with pytest.raises(DocumentError, match=r"'away\.md' is a link that points to nothing"):
        source.read("away.md")


def test_pipes_sockets_and_devices_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "null.md").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.md"))
        assert paths(tmp_path) == ["a.md"]


def test_a_file_replaced_by_a_pipe_after_listing_does_not_hang(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "a.md"))
    list(source.list())
    (tmp_path / "a.md").unlink()
    os.mkfifo(tmp_path / "a.md")
    failures: list[str] = []

    def read() -> None:
        try:
            source.read("a.md")
        except DocumentError as error:
            failures.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert failures == ["'a.md' is not a regular file any more"]


def test_a_file_removed_after_listing_is_one_failed_document(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "a.md", "b.md"))
    list(source.list())
    (tmp_path / "a.md").unlink()
    with pytest.raises(DocumentError, match=r"'a\.md' has been removed"):
        source.read("a.md")
    assert source.read("b.md") == b"b.md"


def test_a_file_without_read_permission_is_listed_and_fails_when_read(shared_folder: Path) -> None:
    write(shared_folder, "a.md", "b.md")
    (shared_folder / "a.md").chmod(0)
    source = open_source(shared_folder)
    with without_root_rights():
        assert [file.path for file in source.list()] == ["a.md", "b.md"]
        with pytest.raises(DocumentError, match=r"'a\.md' cannot be read \(Permission denied\)"):
            source.read("a.md")
        assert source.read("b.md") == b"b.md"


def test_files_without_stat_permission_are_listed(shared_folder: Path) -> None:
    write(shared_folder, "sub/a.md")
    (shared_folder / "sub").chmod(0o444)
    source = open_source(shared_folder)
    with without_root_rights():
        assert list(source.list()) == [SourceFile("sub/a.md", "", None)]
        with pytest.raises(DocumentError, match="Permission denied"):
            source.read("sub/a.md")


def test_a_folder_without_list_permission_is_an_error(shared_folder: Path) -> None:
    write(shared_folder, "a.md", "sub/b.md", "z.md")
    (shared_folder / "sub").chmod(0)
    source = open_source(shared_folder)
    with without_root_rights(), pytest.raises(SourceError, match=r"'sub/' .*Permission denied.*--exclude '/sub/'"):
        list(source.list())
    with without_root_rights():
        assert paths(shared_folder, exclude=["/sub/"]) == ["a.md", "z.md"]


def test_a_path_too_long_for_the_system_is_an_error(tmp_path: Path) -> None:
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=at)
        deeper = os.open("d" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = deeper
    os.close(at)
    with pytest.raises(SourceError, match="File name too long"):
        paths(tmp_path)


def test_deeply_nested_folders_are_listed(tmp_path: Path) -> None:
    levels = [tmp_path.joinpath(*("d" * level)) for level in range(1, 1201)]
    for level in levels:
        level.mkdir()
    write(levels[-1], "a.md")
    try:
        assert paths(tmp_path) == ["/".join("d" * 1200) + "/a.md"]
    finally:
        (levels[-1] / "a.md").unlink()
        for level in reversed(levels):  # pytest's own clean-up is recursive.
            level.rmdir()


def test_a_folder_removed_during_listing_is_an_error(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "a.md", "sub/b.md"))
    listing = source.list()
    assert next(listing).path == "a.md"
    shutil.rmtree(tmp_path / "sub")
    with pytest.raises(SourceError, match="run again"):
        next(listing)


def test_a_source_removed_after_opening_is_an_error(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "docs/a.md") / "docs")
    shutil.rmtree(tmp_path / "docs")
    with pytest.raises(SourceError, match="cannot be listed"):
        list(source.list())


def test_an_empty_folder_is_an_empty_listing(tmp_path: Path) -> None:
    assert paths(tmp_path) == []


@pytest.mark.parametrize("missing", ["nowhere", "a.md/below", "x" * 300, "a.md/"])
def test_a_missing_path_is_an_error(tmp_path: Path, missing: str) -> None:
    write(tmp_path, "a.md")
    with pytest.raises(SourceError, match="check the path"):
        open_source(f"{tmp_path}/{missing}")


def test_a_pipe_or_device_is_not_a_source() -> None:
    with pytest.raises(SourceError, match="neither a folder nor a regular file"):
        open_source("/dev/zero")


def test_a_single_file_is_one_document_with_any_name(tmp_path: Path) -> None:
    write(tmp_path, ".hidden.png")
    source = open_source(tmp_path / ".hidden.png")
    assert [file.path for file in source.list()] == [".hidden.png"]
    assert source.read(".hidden.png") == b".hidden.png"
    with pytest.raises(DocumentError, match="not a path of"):
        source.read("other.md")


def test_links_into_the_state_folder_and_folders_that_became_links_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "out/secret.md", "in/below/secret.md", "in/state/own.md", "in/state/secret.md")
    (tmp_path / "in/link.md").symlink_to(tmp_path / "in/state/secret.md")
    source = open_local(str(tmp_path / "in"), Selection(), None, str(tmp_path / "in/state"))
    assert source.read("below/secret.md")
    (tmp_path / "in/below").rename(tmp_path / "in/was")
    (tmp_path / "in/below").symlink_to(tmp_path / "out")
    for path in ("link.md", "below/secret.md"):
        with pytest.raises(WithheldError):
            source.read(path)
    # A source in the state folder is nobody else's.
    assert open_local(str(tmp_path / "in/state"), Selection(), None, str(tmp_path / "in/state")).read("own.md")


def test_a_path_outside_the_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md", "secret.md")
    with pytest.raises(DocumentError, match="not a path of"):
        open_source(tmp_path / "docs").read("../secret.md")


def test_a_file_over_the_size_limit_is_listed_but_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.md").open("wb") as file:
        file.truncate(1_288_490_189)
    (tmp_path / "fits.md").write_bytes(b"x" * 1024)
    source = open_source(tmp_path, max_bytes=100 * 1024**2)
    assert [file.size_bytes for file in source.list()] == [1_288_490_189, 1024]
    with pytest.raises(DocumentError, match=r"'big\.md' is 1\.2 GB, larger than the limit of 100 MB \(RAG_ASSETS_"):
        source.read("big.md")
    assert len(read_bytes(open_source(tmp_path, max_bytes=1024), "fits.md")) == 1024


def test_the_limit_applies_to_files_of_unknown_size() -> None:
    source = open_source("/proc/self/status", max_bytes=10)
    with pytest.raises(DocumentError, match="larger than the limit"):
        source.read("status")


def test_the_state_folder_is_never_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.md", ".rag_assets/server/x.md", "var/rag/x.md", "var/b.md")
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(tmp_path / "var/rag"))
    assert paths(tmp_path) == ["a.md", "var/b.md"]
    assert paths(tmp_path, include=[".rag_assets/**", "*.md"]) == ["a.md", "var/b.md"]


def test_a_relative_uri_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "docs/a.md")
    monkeypatch.chdir(tmp_path)
    uri = open_source("docs/").uri
    monkeypatch.chdir("/")
    assert uri == canonical_uri(tmp_path / "docs") == str(tmp_path / "docs")
    assert [file.path for file in open_source(uri).list()] == ["a.md"]


def test_sources_can_be_pickled_and_read_by_many_threads(tmp_path: Path) -> None:
    write(tmp_path, *(f"{at}.md" for at in range(200)))
    source = pickle.loads(pickle.dumps(open_source(tmp_path, include=["*.md"], max_bytes=100)))
    files = [file.path for file in source.list()]
    with ThreadPoolExecutor(8) as pool:
        assert [data.decode() for data in pool.map(partial(read_bytes, source), files)] == files
    assert len(files) == 200
