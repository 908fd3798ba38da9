"""Title, authors and dates that a PDF names."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

# Titles and authors that programs fill in by default.
_PLACEHOLDERS = frozenset({"untitled", "unspecified", "anonymous", "no title", "unknown", "microsoft word"})
_FIELDS = {"Subject": "subject", "Keywords": "keywords", "Author": "author"}
_DATES = {"CreationDate": "created_at", "ModDate": "modified_at"}
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([+-])(\d\d)'?(\d\d)?'?|Z.*)?\s*")


def read_information(document: Any) -> tuple[str | None, dict[str, Any]]:
    """The title, and the metadata that searches can filter by."""
    found = {key: " ".join(str(value).split()) for key, value in document.get_metadata_dict(skip_empty=True).items()}
    metadata: dict[str, Any] = {
        name: value for key, name in _FIELDS.items() if _is_filled_in(value := found.get(key, ""))
    }
    if "keywords" in metadata:
        metadata["keywords"] = [word.strip() for word in re.split("[,;]", metadata["keywords"]) if word.strip()]
    for key, name in _DATES.items():
        if (date := _date(found.get(key, ""))) is not None:
            metadata[name] = date
    metadata["page_count"] = len(document)
    title = found.get("Title", "")
    return title if _is_filled_in(title) else None, metadata


def _is_filled_in(value: str) -> bool:
    return bool(value) and value.strip(" ()").lower() not in _PLACEHOLDERS


def _date(value: str) -> str | None:
    """D:20230120164927+01'00' as 2023-01-20T15:49:27Z."""
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    year, month, day, hour, minute, second = (
        int(part or default) for part, default in zip(match.groups()[:6], (1, 1, 1, 0, 0, 0), strict=True)
    )
    offset = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0)) * (-1 if match[7] == "-" else 1)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone(offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
