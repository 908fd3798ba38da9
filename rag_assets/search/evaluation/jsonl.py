"""Read lines of JSON and validate their fields; errors name the file, the line and the value."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rag_assets.documents.text import clean, is_text
from rag_assets.errors import UsageError
from rag_assets.search.keyword.query_syntax import MAX_QUERY_CHARS

T = TypeVar("T")
MAX_GRADE = 1_000
_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "text"}


def read_json_lines(file: Path) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """The number, the place for error messages, and the object of each line that is not blank."""
    for number, line in read_lines(file):
        where = f"{file}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where} is not JSON ({error}); write one object a line.") from None
        if not isinstance(value, dict):
            raise UsageError(f"{where} is not an object; write one query a line, in braces.")
        yield number, where, value


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers. Only a line feed ends a line: JSON allows other separators."""
    try:
        with file.open(encoding="utf-8-sig", newline="\n") as opened:
            for number, line in enumerate(opened, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 ({error.reason}); save it as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}; name a file of evaluation queries.") from None


def parse_query_text(value: Mapping[str, Any], key: str, where: str) -> str:
    query = clean(check_type(value.get(key), str, f'"{key}"', where))
    if not query.strip():
        raise UsageError(f'{where}: "{key}" is empty; write the query there.')
    if len(query) > MAX_QUERY_CHARS:
        raise UsageError(f'{where}: "{key}" has {len(query)} characters; write at most {MAX_QUERY_CHARS}.')
    return query


def parse_text(value: Mapping[str, Any], key: str, where: str) -> str:
    text = value.get(key)
    # Some sets have integer ids.
    if isinstance(text, int) and not isinstance(text, bool):
        return str(text)
    if not isinstance(text, str) or not text or not is_text(text):
        raise UsageError(f'{where}: "{key}" is {_format_json(text)}; it must be text.')
    return text


def parse_grade(value: Any, what: str, where: str) -> int:
    grade = parse_whole_number(value, what, where)
    if grade > MAX_GRADE:
        raise UsageError(f"{where}: {what} is {_format_json(value)}; choose 0 (not relevant) to {MAX_GRADE}.")
    return grade


def parse_whole_number(value: Any, what: str, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{where}: {what} is {_format_json(value)}; it must be a whole number, 0 or more.")
    return value


def check_type(value: Any, kind: type[T], what: str, where: str) -> T:
    if not isinstance(value, kind):
        raise UsageError(f"{where}: {what} is {_format_json(value)}; it must be {_KINDS[kind]}.")
    return value


def _format_json(value: Any) -> str:
    return "missing" if value is None else json.dumps(value, ensure_ascii=False)[:60]
