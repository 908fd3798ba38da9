"""The version of a remote file, from the information that its file system has."""

import datetime as dt
import time
from email.utils import parsedate_to_datetime
from typing import Any

from rag_assets.documents.sources.base import escape_name

_CHECKSUMS = (
    *("ETag", "etag", "CRC", "md5Hash", "Content-MD5", "Digest", "md5", "content_md5", "checksum"),
    *("content_hash", "sha256", "sha", "blob_id", "generation"),
)
_TIMES = (
    "LastModified",
    "last_modified",
    "Last-Modified",
    "updated",
    "modificationTime",
    "mtime",
    "modified",
)


def file_version(info: dict[str, Any]) -> str:
    size = info.get("size")
    for key in _CHECKSUMS:
        if value := info.get(key):
            value = value.hex() if isinstance(value, bytes | bytearray) else value
            return escape_name(f"{value}-{size}")
    if "chksum" in info:
        # A tar has only times, and reproducible archives give every file of every release the same time.
        return ""
    seconds = next((_to_seconds(info[key]) for key in _TIMES if info.get(key)), None)
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
        return parsedate_to_datetime(text)
