from pathlib import Path

import pytest

from rag_assets.documents.parsing.file_types import detect_type, file_type
from tests.support.paths import FILES


@pytest.mark.parametrize(
    ("file_path", "expected"),
    [
        ("README.md", "markdown"),
        ("docs/Guide.MARKDOWN", "markdown"),
        ("a/b.c/notes", "unknown"),
        ("README", "text"),
        ("s3://bucket/folder/report.PDF", "pdf"),
        ("folder\\sheet.xlsm", "xlsx"),
        ("app.py", "python"),
        ("main.rs", "code"),
        ("Dockerfile", "code"),
        (".gitignore", "code"),
        (".md", "unknown"),
        ("page.htm", "html"),
        ("index.rst", "rst"),
        ("rows.jsonl", "jsonl"),
        ("analysis.ipynb", "notebook"),
        ("mail.eml", "email"),
        ("archive.tar.gz", "unknown"),
        ("", "unknown"),
    ],
)
def test_file_type_is_derived_from_the_name(file_path: str, expected: str) -> None:
    assert file_type(file_path) == expected


@pytest.mark.parametrize(
    "name", ["harbour.pdf", "harbour.docx", "harbour.pptx", "harbour.epub", "harbour.rtf", "book.xls"]
)
def test_binary_formats_are_detected_from_the_content(name: str) -> None:
    assert detect_type((FILES / name).read_bytes(), "unknown") == (name.split(".")[1], None)


def test_plain_text_has_no_detected_type() -> None:
    assert detect_type(b"just words that mention %PDF-1.4 and PK\x03\x04", "text") == (None, None)


def test_an_executable_is_reported_as_one() -> None:
    assert detect_type(Path("/proc/self/exe").read_bytes()[:4096], "text") == (None, "an executable (ELF)")
