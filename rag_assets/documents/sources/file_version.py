"""The version of a remote file, from the information that its file system has."""

import datetime as dt
import time
from email.utils import parsedate_to_datetime
from typing import Any

from rag_assets.documents.sources.base import escape_name

# Of Microsoft Graph, a cTag changes with the content alone, an eTag with its permissions too.
_CHECKSUMS = (
    *("cTag", "md5Checksum"),
    *("ETag", "etag", "CRC", "md5Hash", "Content-MD5", "Digest", "md5", "content_md5", "checksum"),
    *("content_hash", "sha256", "sha", "blob_id", "generation"),
    # Of git's blobs, Dropbox's revisions, and what Graph has besides.
    *("hex", "rev", "eTag"),
)
# Where some file systems keep what their service said of a file.
_NESTED = ("item_info", "content_settings", "lfs", "metadata_raw")
_TIMES = (
    "LastModified",
    "last_modified",
    "Last-Modified",
    "updated",
    "modificationTime",
    "mtime",
    "modified",
    *("modifiedTime", "lastModifiedDateTime", "server_modified", "last_write_time", "modification_time", "modify"),
)


def file_version(info: dict[str, Any]) -> str:
    size = info.get("size")
    parts = [info, *(nested for name in _NESTED if isinstance(nested := info.get(name), dict))]
    for key in _CHECKSUMS:
        for part in parts:
            # A field of the same name can hold something else, such as the hashes of all algorithms.
            if (value := part.get(key)) and isinstance(value, str | int | bytes | bytearray):
                value = value.hex() if isinstance(value, bytes | bytearray) else value
                return escape_name(f"{value}-{size}")
    if "chksum" in info:
        # A tar has only times, and reproducible archives give every file of every release the same time.
        return ""
    times = (part[key] for key in _TIMES for part in parts if part.get(key))
    seconds = next(filter(None, map(_to_seconds, times)), None)
    # Servers report whole seconds: a file that changed just now can change again within the same second.
    if seconds is None or abs(time.time() - seconds) < 2:
        return ""
    return f"{seconds}-{size}"


def _to_seconds(value: Any) -> float | None:
    try:
        if isinstance(value, int | float):
            return float(value)
        moment = value if isinstance(value, dt.datetime) else _parse_time(str(value))
        return moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _parse_time(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        # FTP's, as 20260102030405, is ISO 8601 without the T between date and time.
        return (
            dt.datetime.fromisoformat(f"{text[:8]}T{text[8:14]}")
            if text[:14].isdigit()
            else parsedate_to_datetime(text)
        )
