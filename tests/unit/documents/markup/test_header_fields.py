import pytest

from rag_assets.documents.markup.header_fields import read_header_fields

ORG = (
    "#+TITLE: Notes\n#+author: Ana\n#+DATE: <2026-01-05 Mon>\n#+FILETAGS: :sea:port:\n#+OPTIONS: toc:nil\n\n* Arrival\n"
)
ASCIIDOC = """// a comment
= Guide
Ana Müller <ana@example.org>
:revdate: 2026-01-05
:keywords: sea, port
:toc:

Text.
:author: Nobody
"""


@pytest.mark.parametrize(
    ("file_type", "content", "expected"),
    [
        ("org", ORG, {"title": "Notes", "author": "Ana", "date": "2026-01-05", "tags": ["sea", "port"]}),
        ("asciidoc", ASCIIDOC, {"author": "Ana Müller", "date": "2026-01-05", "keywords": ["sea", "port"]}),
        ("asciidoc", "= Guide\n:author: Zed\n\nText.\n", {"author": "Zed"}),
        ("asciidoc", "= Guide\n\nText of it.\n:author: Nobody\n", {}),
        ("asciidoc", "No header\n= x\n", {}),
        ("asciidoc", "= Guide", {}),
        ("org", "* Arrival\n", {}),
        ("markdown", ORG, {}),
    ],
)
def test_fields_of_a_header_are_metadata(file_type: str, content: str, expected: dict[str, object]) -> None:
    assert read_header_fields(content, file_type) == expected
