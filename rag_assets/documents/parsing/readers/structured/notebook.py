"""Jupyter notebooks as Markdown: cells, code in fences, and the text of outputs."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from rag_assets.documents.markup.embedded_data import without_embedded_data
from rag_assets.documents.parsing.readers.structured.json_text import lenient_outline, outline, read_json

_MAX_OUTPUT_LINES: Final = 1000  # of one output
_TERMINAL_CODE: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
# A progress bar writes its line again and again.
_OVERWRITTEN: Final = re.compile(r"^[^\n]*\r(?=[^\r\n])", re.MULTILINE)
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{60,}={0,2}(?:\\n|\s)*){2,}")
_ATTACHED_IMAGE: Final = re.compile(r"!\[([^\]\n]{0,500})\]\((?:attachment:|data:)[^)]*\)")
_REPRESENTATION: Final = re.compile(r"\s*<[^<>]*(?:<[^<>]*>[^<>]*)*>\s*")  # such as <Figure size 640x480 with 1 Axes>
_CELL_MAGIC: Final = re.compile(r"%%(bash|sh|sql|html|javascript|js|R|ruby|perl|latex|cython)\b")
# The keys of an output in nbformat 3, where there is no MIME bundle.
_OLD_NAMES: Final = {
    "text": "text/plain",
    "html": "text/html",
    "latex": "text/latex",
    "json": "application/json",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "svg": "image/svg+xml",
    "markdown": "text/markdown",
}


def read_notebook(text: str, html_to_markdown: Callable[[str], str]) -> tuple[str, dict[str, Any]]:
    """Markdown cells as they are, code and the text of outputs in fences; images and attachments are left out.

    A file that is no notebook is read as JSON.
    """
    try:
        notebook = json.loads(text.lstrip("\ufeff"))
        cells = list(_cells(notebook))
        language = _language(notebook, cells)
        parts = [part for cell in cells for part in _Cell(cell, language, html_to_markdown).parts()]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        # An image in base64 would be most of the text.
        return read_json(_BASE64.sub("", text))[0], {"parsed": False}
    return "\n\n".join(part for part in parts if part.strip()) + "\n", {
        "cell_count": len(cells),
        "language": language,
    }


def _cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "cells" in notebook:
        yield from notebook["cells"]
        return
    for sheet in notebook["worksheets"]:
        yield from sheet["cells"]


def _language(notebook: dict[str, Any], cells: list[dict[str, Any]]) -> str:
    metadata = notebook.get("metadata") or {}
    found = (metadata.get("kernelspec") or {}).get("language") or (metadata.get("language_info") or {}).get("name")
    if not found:
        found = next((cell["language"] for cell in cells if cell.get("language")), None)
    return str(found or "python")


class _Cell:
    def __init__(self, cell: dict[str, Any], language: str, html_to_markdown: Callable[[str], str]) -> None:
        self._cell = cell
        self._html_to_markdown = html_to_markdown
        self._language = language

    def parts(self) -> Iterator[str]:
        cell = self._cell
        source = _join(cell.get("source", cell.get("input", ""))).strip("\n")
        kind = cell.get("cell_type")
        if kind == "heading":
            yield f"{'#' * int(cell.get('level', 1))} {' '.join(source.split())}"
        elif kind != "code":
            if "![" in source:
                source = _ATTACHED_IMAGE.sub(r"\1", source)
            yield without_embedded_data(source)
        elif source.strip():
            yield _fence(without_embedded_data(source), self._code_language(source))
        for output in cell.get("outputs") or []:
            yield from self._output(output)

    def _code_language(self, source: str) -> str:
        if magic := _CELL_MAGIC.match(source):
            return {"sh": "bash", "js": "javascript"}.get(magic[1], magic[1])
        editor = (self._cell.get("metadata") or {}).get("vscode") or {}
        return str(editor.get("languageId") or self._cell.get("language") or self._language)

    def _output(self, output: dict[str, Any]) -> Iterator[str]:
        kind = output.get("output_type")
        if kind == "stream":
            yield _output_fence(_join(output.get("text", "")))
        elif kind in {"error", "pyerr"}:
            error = ": ".join(_join(part) for name in ("ename", "evalue") if (part := output.get(name)))
            trace = _clean_terminal("\n".join(map(_join, output.get("traceback") or [])))
            yield _output_fence(trace if error in trace else f"{error}\n{trace}")
        else:
            data = output.get("data")
            if not isinstance(data, dict):
                data = {_OLD_NAMES.get(name, name): value for name, value in output.items()}
            yield self._rich_output(data)

    def _rich_output(self, data: dict[str, Any]) -> str:
        """The best text of a MIME bundle: a table from HTML, else plain text, unless that only names an object."""
        plain = _join(data.get("text/plain") or "")
        html = _join(data.get("text/html") or "")
        if plain.strip() and not _REPRESENTATION.fullmatch(plain) and "<table" not in html:
            return _output_fence(plain)
        if markdown := _join(data.get("text/markdown") or "").strip("\n"):
            return without_embedded_data(_ATTACHED_IMAGE.sub(r"\1", markdown))
        if html.strip() and (converted := self._html_to_markdown(html).strip()):
            return converted
        if latex := _join(data.get("text/latex") or "").strip():
            return latex
        if (value := data.get("application/json")) is not None:
            return _output_fence(lenient_outline(value) if isinstance(value, str) else "\n".join(outline(value)))
        return _output_fence(plain)


def _output_fence(text: str) -> str:
    lines = without_embedded_data(_clean_terminal(text)).strip("\n").split("\n")
    text = "\n".join(lines[:_MAX_OUTPUT_LINES])
    return _fence(text, "") if text.strip() else ""


def _clean_terminal(text: str) -> str:
    """The text that a terminal shows in the end: without colours, each line as it was written last."""
    if "\x1b" in text:
        text = _TERMINAL_CODE.sub("", text)
    return _OVERWRITTEN.sub("", text) if "\r" in text else text


def _fence(text: str, language: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _join(source: Any) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)
