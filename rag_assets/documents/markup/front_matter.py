"""Front matter: the metadata of a text, in YAML, TOML or JSON before its first line."""

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cache
from typing import Any, Final

# Static site generators know front matter in these; elsewhere, a line of dashes is a line of dashes.
FRONT_MATTER_TYPES: Final = frozenset({"markdown", "html", "rst", "asciidoc", "org"})
_MAX_CHARS: Final = 64 * 1024
_MAX_VALUES: Final = 2000  # An alias of YAML can stand for a billion values.
_MAX_DEPTH: Final = 20
_MAX_YAML_DEPTH: Final = 100
_OPENING: Final = re.compile(r"(---|\+\+\+)[ \t]*\n")
_FIRST_KEY: Final = re.compile(r"(?:\s|#[^\n]*\n)*[\"']?[\w-]{1,60}[\"']?[ \t]*[:=]")
_DATE_KEYS: Final = re.compile(r"date|time|created|updated|modified|published|lastmod|expir", re.IGNORECASE)
_DATE: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[T ]+(\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)[ ]*(Z|[+-]\d{2}:?\d{2})?")
_LISTS: Final = ("tags", "keywords", "categories", "authors")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """`values` fit JSON; `body` is the text after them. `error` says why front matter was left in the text."""

    body: str
    values: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def title(self) -> str | None:
        title = self.values.get("title", self.values.get("Title"))
        return str(title) if isinstance(title, str | int | float) and not isinstance(title, bool) else None


def read_front_matter(text: str) -> FrontMatter:
    """Take the front matter off a text; what is none, or cannot be parsed, stays part of the text."""
    if text.startswith("{"):
        return _read_json(text)
    opening = _OPENING.match(text)
    if opening is None:
        return FrontMatter(text)
    end = _find_end(text, opening.end(), opening[1])
    if end is None:
        return FrontMatter(text)
    source, body = text[opening.end() : end[0]], text[end[1] :].lstrip("\n")
    if opening[1] == "---":
        return _parse("YAML", _load_yaml, source, text, body)
    return _parse("TOML", tomllib.loads, source, text, body)


def _find_end(text: str, start: int, mark: str) -> tuple[int, int] | None:
    """Where the front matter ends and where the text after it begins."""
    closing = re.compile(r"(?:---|\.\.\.)" if mark == "---" else re.escape(mark))
    at = start
    while at < min(len(text), start + _MAX_CHARS):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if closing.fullmatch(text[at:end].rstrip()):
            return at, min(len(text), end + 1)
        at = end + 1
    return None


def _read_json(text: str) -> FrontMatter:
    """Hugo's front matter in JSON: an object, and text that begins on a later line."""
    try:
        value, end = json.JSONDecoder().raw_decode(text[:_MAX_CHARS])
    except (ValueError, RecursionError):
        return FrontMatter(text)
    body = text[end:]
    if not isinstance(value, dict) or not re.match(r"[ \t]*\n", body):
        return FrontMatter(text)
    return _parse("JSON", lambda _: value, "", text, body.lstrip())


def _parse(language: str, parse: Callable[[str], Any], source: str, text: str, body: str) -> FrontMatter:
    try:
        value = parse(source)
        if value is None:  # YAML's empty document.
            return FrontMatter(body)
        if not isinstance(value, dict):
            return FrontMatter(text)  # Text between two lines of dashes.
        return FrontMatter(body, _normalize(value))
    except (ValueError, RecursionError, _yaml_error()) as error:
        if not _FIRST_KEY.match(source):
            return FrontMatter(text)
        reason = " ".join(str(error).replace(' in "<unicode string>"', "").split())[:200]
        return FrontMatter(text, error=f"its front matter is not valid {language} and was left in the text: {reason}")


def _normalize(value: dict[Any, Any]) -> dict[str, Any]:
    budget = [_MAX_VALUES]
    found = {str(key): _plain(item, str(key), budget) for key, item in value.items() if key is not None}
    # Zola's front matter has its tags in a table of their own.
    taxonomies = found.get("taxonomies")
    if isinstance(taxonomies, dict):
        found = taxonomies | found
    for name in _LISTS:
        if isinstance(text := found.get(name), str) and "," in text:
            found[name] = [part.strip() for part in text.split(",") if part.strip()]
    return found


def _plain(value: Any, key: str, budget: list[int], depth: int = 0) -> Any:
    """The value as JSON has it: dates in ISO 8601. Raises ValueError for one that is too large."""
    budget[0] -= 1
    if budget[0] < 0 or depth > _MAX_DEPTH:
        raise ValueError("it has too many values")
    if isinstance(value, dict):
        return {str(name): _plain(item, str(name), budget, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item, key, budget, depth + 1) for item in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, str) and _DATE_KEYS.search(key) and (match := _DATE.fullmatch(value.strip())):
        zone = match[3] or ""
        return f"{match[1]}T{match[2]}" + ("+00:00" if zone == "Z" else f"{zone[:3]}:{zone[-2:]}" if zone else "")
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@cache
def _yaml_error() -> type[Exception]:
    import yaml

    found: type[Exception] = yaml.YAMLError
    return found


def _load_yaml(source: str) -> Any:
    import yaml

    _refuse_deep_yaml(source)
    return yaml.load(source, _yaml_loader())  # noqa: S506


def _refuse_deep_yaml(source: str) -> None:
    """Raises ValueError for lists in lists without end, which overflow the stack of the native loader: a crash."""
    # Each level takes a line or one of these characters, so most front matter needs no closer look.
    if sum(map(source.count, "\n[{-?")) <= _MAX_YAML_DEPTH:
        return
    import yaml

    depth = 0
    for event in yaml.parse(source, _yaml_loader()):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_YAML_DEPTH:
            raise ValueError("it is nested too deeply")


@cache
def _yaml_loader() -> Any:
    """YAML's safe loader by version 1.2: `no` is a word, 12:30 is no number, 007 keeps its zeros."""
    import yaml

    class FrontMatterLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    replaced = {
        "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
        "tag:yaml.org,2002:int": (r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    }
    resolvers = {
        first: [(tag, pattern) for tag, pattern in own if tag not in replaced and not (tag.endswith(":timestamp"))]
        for first, own in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    FrontMatterLoader.yaml_implicit_resolvers = resolvers
    for tag, (pattern, first) in replaced.items():
        FrontMatterLoader.add_implicit_resolver(tag, re.compile(f"(?:{pattern})$"), list(first))
    return FrontMatterLoader
