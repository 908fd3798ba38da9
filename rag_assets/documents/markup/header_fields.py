"""The metadata that Org and AsciiDoc have in the first lines of a text."""

import re
from typing import Any, Final

_HEAD_CHARS: Final = 16 * 1024
_ORG_FIELD: Final = re.compile(
    r"^[ \t]*#\+(title|subtitle|author|email|date|description|keywords|filetags|language|category):[ \t]*(\S[^\n]*)$",
    re.MULTILINE | re.IGNORECASE,
)
_ORG_DATE: Final = re.compile(r"[<\[](\d{4}-\d{2}-\d{2})[^>\]]*[>\]]")
_ASCIIDOC_HEADER: Final = re.compile(
    r"(?:(?://[^\n]*|:[\w!-]+:[^\n]*)?\n)*=[ \t]+\S[^\n]*\n(?:(?P<below>\S[^\n]*)(?:\n|\Z)(?:\S[^\n]*(?:\n|\Z))*)?"
)
_ASCIIDOC_FIELD: Final = re.compile(
    r"^:(author|authors|email|revdate|date|revnumber|version|description|keywords|tags|lang):[ \t]+(\S[^\n]*)$",
    re.MULTILINE,
)
_ASCIIDOC_AUTHOR: Final = re.compile(r"([^\W\d_][^\n<:;,]{1,100}?)(?:[ \t]+<[^>\n]+>)?")
_NAMES: Final = {"filetags": "tags", "revdate": "date", "lang": "language"}


def read_header_fields(content: str, file_type: str) -> dict[str, Any]:
    head = content[:_HEAD_CHARS]
    if file_type == "org" and "#+" in head:
        return _named([(name.lower(), value) for name, value in _ORG_FIELD.findall(head)])
    if file_type == "asciidoc" and (header := _ASCIIDOC_HEADER.match(head)):
        found = _named(_ASCIIDOC_FIELD.findall(header[0]))
        if "author" not in found and (author := _ASCIIDOC_AUTHOR.fullmatch((header["below"] or "").strip())):
            found["author"] = author[1].strip()
        return found
    return {}


def _named(fields: list[tuple[str, str]]) -> dict[str, Any]:
    return {_NAMES.get(name, name): _value(name, value.strip()) for name, value in fields}


def _value(name: str, value: str) -> Any:
    if name == "filetags":
        return [tag for tag in re.split(r"[:\s]+", value) if tag]
    if name in {"keywords", "tags", "authors"}:
        return [part.strip() for part in re.split(r"[,;]", value) if part.strip()]
    date = _ORG_DATE.fullmatch(value) if name == "date" else None
    return date[1] if date else value
