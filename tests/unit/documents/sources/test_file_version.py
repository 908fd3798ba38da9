"""Versions of files elsewhere, from what each file system says of them: in the shapes of fsspec's `info`."""

import datetime as dt
import time
from typing import Any

import pytest

from rag_assets.documents.sources.file_version import file_version

MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
S3 = {
    "Key": "b/a.md",
    "ETag": '"9b2cf5"',
    "LastModified": MOMENT,
    "size": 7,
    "StorageClass": "STANDARD",
    "type": "file",
}
GCS = {
    "name": "b/a.md",
    "etag": "CJj=",
    "md5Hash": "XrY7u==",
    "generation": "17",
    "updated": "2026-01-02T03:04:05Z",
}
AZURE = {"name": "c/a.md", "etag": "0x8DB", "content_settings": {"content_md5": bytearray(b"\x01\x02")}, "size": 7}
GRAPH: dict[str, Any] = {
    "name": "/a.md",
    "size": 7,
    "time": MOMENT,
    "item_info": {
        "eTag": '"{9C},2"',
        "cTag": '"c:{9C},1"',
        "lastModifiedDateTime": "2026-01-02T03:04:05Z",
        "file": {"hashes": {"quickXorHash": "aGk="}},
    },
}
DRIVE = {
    "name": "a.md",
    "size": 7,
    "checksum": "5eb63b",
    "md5Checksum": "5eb63b",
    "modifiedTime": "2026-01-02T03:04:05Z",
}
DROPBOX = {"name": "/a.md", "size": 7, "type": "file", "content_hash": "ab12", "rev": "0123", "server_modified": MOMENT}
GITHUB = {"name": "a.md", "mode": "100644", "type": "file", "size": 7, "sha": "257cc5"}
GIT = {"name": "a.md", "mode": "100644", "type": "file", "size": 7, "hex": "257cc5"}
HUGGING_FACE = {"name": "a.md", "size": 7, "blob_id": "257cc5", "lfs": None, "last_commit": None}
WEBDAV = {"name": "a.md", "size": 7, "etag": '"5eb"', "modified": MOMENT}
HTTP = {"name": "https://h/a.md", "size": 7, "ETag": 'W/"5eb"', "mimetype": "text/markdown"}


@pytest.mark.parametrize(
    ("info", "key"),
    [
        (S3, "ETag"),
        (GCS, "etag"),
        (AZURE, "etag"),
        (GRAPH, "item_info.cTag"),
        (DRIVE, "md5Checksum"),
        (DROPBOX, "content_hash"),
        (GITHUB, "sha"),
        (GIT, "hex"),
        (HUGGING_FACE, "blob_id"),
        (WEBDAV, "etag"),
        (HTTP, "ETag"),
    ],
    ids=["S3", "GCS", "Azure", "Graph", "Drive", "Dropbox", "GitHub", "git", "HuggingFace", "WebDAV", "HTTP"],
)
def test_the_version_is_the_key_that_changes_with_the_content(info: dict[str, Any], key: str) -> None:
    *folder, name = key.split(".")
    inside = info[folder[0]] if folder else info
    version = file_version(info)
    assert version == f"{inside[name]}-{info.get('size')}"
    assert file_version(dict(info)) == version
    changed = {**inside, name: "another"}
    assert file_version({**info, folder[0]: changed} if folder else changed) != version


def test_changed_permissions_of_graph_are_not_changed_content() -> None:
    shared = {**GRAPH, "item_info": {**GRAPH["item_info"], "eTag": '"{9C},3"'}}
    assert file_version(shared) == file_version(GRAPH)


@pytest.mark.parametrize(
    "info",
    [
        {"name": "Notes", "size": 0, "modifiedTime": "2026-01-02T03:04:05Z"},
        {"name": "a.md", "size": 0, "server_modified": MOMENT},
        {"name": "a.md", "size": 0, "modify": "20260102030405"},
        {"name": "a.md", "size": 0, "last_write_time": MOMENT.timestamp()},
        {"name": "a.md", "size": 0, "checksum": {"md5": "ab"}, "mtime": MOMENT},
    ],
    ids=["a document of Google", "Dropbox", "FTP", "SMB", "checksums in a field"],
)
def test_without_a_key_the_time_and_the_size_are_the_version(info: dict[str, Any]) -> None:
    assert file_version(info) == f"{MOMENT.timestamp()}-0"


def test_a_file_that_changed_just_now_or_of_which_nothing_is_known_has_no_version() -> None:
    assert file_version({"name": "a.md", "size": 7, "modifiedTime": dt.datetime.now(dt.UTC).isoformat()}) == ""
    assert file_version({"name": "a.md", "size": 7, "mtime": time.time()}) == ""
    assert file_version({"name": "a.md", "size": 7}) == ""
