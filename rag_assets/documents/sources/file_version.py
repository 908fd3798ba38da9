"""The version of a remote file, from what its file system says of it."""

import datetime as dt
import time
from email.utils import parsedate_to_datetime
from typing import Any

from rag_assets.documents.sources.base import to_text

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


def version(info: dict[str, Any]) -> str:
    size = info.get("size")
    for key in _CHECKSUMS:
        if value := info.get(key):
            value = value.hex() if isinstance(value, bytes | bytearray) else value
            return to_text(f"{value}-{size}")
    if "chksum" in info:
        # A tar has times only, and reproducible ones give all their files, in every release, the same.
        return ""
    seconds = next((_seconds(info[key]) for key in _TIMES if info.get(key)), None)
    # Servers tell whole seconds: what changed just now can change again, unseen, after we have read it.
    if seconds is None or abs(time.time() - seconds) < 2:
        return ""
    return f"{seconds}-{size}"


def _seconds(value: Any) -> float | None:
    try:
        if isinstance(value, int | float):
            return float(value)
        moment = value if isinstance(value, dt.datetime) else _moment(str(value))
        return moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _moment(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)
