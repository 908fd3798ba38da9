"""JSON and notebooks as lines that make sense on their own, wherever the text is split into chunks."""

import json
from collections.abc import Iterator
from typing import Any

_MAX_INDENT = 8
_MAX_OUTPUT_LINES = 1000  # of one output of a notebook


def read_json(text: str) -> tuple[str, dict[str, Any]]:
    """An outline of "key: value" lines: escapes (\\u00fc, \\n) and brackets would hide words from searches."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        # Invalid, or nested deeper than the parser allows: the text itself can still be searched.
        return text, {"parsed": False}
    return "\n".join(_outline(value)) + "\n", {}


def read_jsonl(text: str) -> tuple[str, dict[str, Any]]:
    """The outlines of the records, with an empty line between two."""
    records, broken = [], 0
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            records.append("\n".join(_outline(json.loads(line))))
        except (ValueError, RecursionError):
            broken += 1
            records.append(line)
    metadata: dict[str, Any] = {"record_count": len(records)}
    return "\n\n".join(records) + "\n", metadata | ({"broken_records": broken} if broken else {})


def _outline(value: Any) -> Iterator[str]:
    # An explicit stack: a document that json.loads can parse must not exhaust Python's recursion limit here.
    stack: list[tuple[int, str, Any]] = [(0, "", value)]
    while stack:
        depth, label, item = stack.pop()
        indent = "  " * min(depth, _MAX_INDENT)
        if isinstance(item, dict) and item:
            if label:
                yield f"{indent}{label}"
            inner = depth + bool(label)
            stack.extend((inner, f"{key}:", child) for key, child in reversed(item.items()))
        elif isinstance(item, list) and item:
            if all(not isinstance(child, dict | list) for child in item) and sum(map(_width, item)) < 200:
                yield f"{indent}{label} {', '.join(map(_format_scalar, item))}".rstrip()
                continue
            if label:
                yield f"{indent}{label}"
            inner = depth + bool(label)
            stack.extend((inner, "-", child) for child in reversed(item))
        else:
            lines = _format_scalar(item).splitlines() or [""]
            yield f"{indent}{label} {lines[0]}".rstrip() if label else f"{indent}{lines[0]}"
            yield from (f"{indent}  {line}" if label else f"{indent}{line}" for line in lines[1:])


def _width(value: Any) -> int:
    return len(value) if isinstance(value, str) else 8


def _format_scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value in ({}, []) else json.dumps(value)


def read_notebook(text: str) -> tuple[str, dict[str, Any]]:
    """Markdown cells as they are, code cells and their text outputs in fences. Images are left out."""
    try:
        notebook = json.loads(text)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        language = str(notebook.get("metadata", {}).get("kernelspec", {}).get("language", "") or "python")
        parts = [part for cell in cells for part in _cell(cell, language)]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        return read_json(text)[0], {"parsed": False}
    return "\n\n".join(part for part in parts if part) + "\n", {
        "cell_count": len(cells),
        "language": language,
    }


def _cell(cell: dict[str, Any], language: str) -> Iterator[str]:
    source = _join(cell.get("source", cell.get("input", ""))).strip("\n")
    if cell.get("cell_type") == "heading":
        yield f"{'#' * int(cell.get('level', 1))} {source}"
    elif cell.get("cell_type") != "code":
        yield source
    elif source.strip():
        yield _fence(source, language)
    for output in cell.get("outputs") or []:
        data = output.get("data", output)
        text = _join(output.get("text") or data.get("text/plain") or "").strip("\n")
        if text.strip():
            yield _fence("\n".join(text.split("\n")[:_MAX_OUTPUT_LINES]), "")


def _fence(text: str, language: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _join(source: Any) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)
