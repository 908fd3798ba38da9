"""Text with a structure of its own: JSON, notebooks, subtitles, calendars."""

from rag_assets.documents.parsing.encoding import declared_encoding, decode_text
from rag_assets.documents.parsing.parse_report import ConvertedDocument, ParseReport


def read_structured(kind: str, data: bytes) -> ConvertedDocument:
    """Read a file of the type json, jsonl, notebook, subtitles or calendar."""
    decoded = decode_text(data, declared_encoding(data, kind))
    text = decoded.text.replace("\r\n", "\n")
    if not text.strip():
        return ConvertedDocument(None, "")
    content, metadata = _read(kind, text)
    notes = ("it is not a notebook; its text was read as JSON",) if kind == "notebook" and "parsed" in metadata else ()
    report = ParseReport(replaced_characters=decoded.replaced_characters, notes=notes)
    return ConvertedDocument(None, content, metadata, report)


def _read(kind: str, text: str) -> tuple[str, dict[str, object]]:
    if kind == "notebook":
        from rag_assets.documents.parsing.readers.structured.notebook import read_notebook

        return read_notebook(text, _convert_html)
    if kind == "calendar":
        from rag_assets.documents.parsing.readers.structured.calendar import read_calendar

        return read_calendar(text), {}
    if kind == "subtitles":
        from rag_assets.documents.parsing.readers.structured.subtitles import read_subtitles

        return read_subtitles(text), {}
    from rag_assets.documents.parsing.readers.structured.json_text import read_json, read_jsonl

    return read_jsonl(text) if kind == "jsonl" else read_json(text)


def _convert_html(text: str) -> str:
    # Only a notebook with such output needs the library, which takes 0.1 s to load.
    from rag_assets.documents.parsing.readers.html_to_markdown import html_to_markdown

    return html_to_markdown(text)
