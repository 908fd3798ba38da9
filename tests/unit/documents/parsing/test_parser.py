"""Parsing real files of every format in a real child process."""

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from email.message import EmailMessage

import pytest

from rag_assets.documents.parsing import parser as parser_module
from rag_assets.documents.parsing.parse_report import ParseReport
from rag_assets.documents.parsing.parser import DocumentParser, ParsedDocument, is_current_reader, reader_version
from rag_assets.errors import DocumentError
from tests.support.paths import FILES

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def parser() -> Iterator[DocumentParser]:
    with DocumentParser(timeout_s=30, memory_mb=1024) as parser:
        yield parser


def headings(content: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", content, re.MULTILINE)


@pytest.mark.parametrize("name", ["harbour.pdf", "harbour.docx", "harbour.pptx", "harbour.epub"])
def test_parsing_keeps_headings_text_and_metadata(parser: DocumentParser, name: str) -> None:
    read = parser.parse(name, (FILES / name).read_bytes())
    assert read.file_type == name.split(".")[1]
    assert read.title == "The Harbour Guide"
    assert {"Arrival", "Departure"} <= set(headings(read.content))
    assert "Ships arrive at the" in read.content
    assert read.metadata["author"] == "Ana Müller"
    json.dumps(read.metadata, allow_nan=False)


def test_an_rtf_and_an_old_excel_file_are_read(parser: DocumentParser) -> None:
    assert "Arrival" in headings(parser.parse("x.rtf", (FILES / "harbour.rtf").read_bytes()).content)
    assert "| Oslo | 12 |" in parser.parse("x.xls", (FILES / "book.xls").read_bytes()).content


def test_a_workbook_becomes_a_table_per_sheet(parser: DocumentParser) -> None:
    read = parser.parse("book.xlsx", (FILES / "book.xlsx").read_bytes())
    assert headings(read.content) == ["Fruit", "Ports"]
    assert "| pear, green | 5 | 0.8 |" in read.content
    assert read.metadata["sheet_names"] == ["Fruit", "Ports"]
    assert read.title is None


def test_a_pdf_has_a_page_count_and_unescaped_symbols(parser: DocumentParser) -> None:
    read = parser.parse("harbour.pdf", (FILES / "harbour.pdf").read_bytes())
    assert read.metadata["page_count"] == 2
    assert "Declare all goods & pay the fee: 12 € if the ship is > 20 m long." in read.content


def test_an_encrypted_pdf_is_refused(parser: DocumentParser) -> None:
    with pytest.raises(DocumentError, match="protected by a password"):
        parser.parse("locked.pdf", (FILES / "locked.pdf").read_bytes())


def test_an_encrypted_word_document_is_refused(parser: DocumentParser) -> None:
    container = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 1000 + "EncryptedPackage".encode("utf-16-le")
    with pytest.raises(DocumentError, match="protected by a password"):
        parser.parse("locked.docx", container)


def docx(paragraphs: Iterable[bytes]) -> bytes:
    """A copy of the Word fixture with other paragraphs."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(FILES / "harbour.docx") as source,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            if name != "word/document.xml":
                target.writestr(name, source.read(name))
        with target.open("word/document.xml", "w") as document:
            space = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
            document.write(b'<?xml version="1.0"?><w:document xmlns:w="' + space + b'"><w:body>')
            for paragraph in paragraphs:
                document.write(paragraph)
            document.write(b"</w:body></w:document>")
    return written.getvalue()


def test_xml_entities_in_word_documents_are_decoded(parser: DocumentParser) -> None:
    paragraph = b"<w:p><w:r><w:t>AT&amp;T: if a &gt; b &amp;&amp; c &lt; 5, &#233;t&#xe9;</w:t></w:r></w:p>"
    assert parser.parse("x.docx", docx([paragraph])).content.startswith("AT&T: if a > b && c < 5, été\n")


def test_links_to_bookmarks_of_word_are_their_text(parser: DocumentParser) -> None:
    link = b'<w:p><w:hyperlink w:anchor="_Toc1"><w:r><w:t>Arrival 3</w:t></w:r></w:hyperlink></w:p>'
    assert "Arrival 3\n" in parser.parse("x.docx", docx([link])).content.split("\n\n")[0] + "\n"


def test_a_zip_bomb_is_refused(parser: DocumentParser) -> None:
    filler = b"<w:p><w:r><w:t>" + b"A" * 100_000 + b"</w:t></w:r></w:p>"
    with pytest.raises(DocumentError, match="limit"):
        parser.parse("bomb.docx", docx([filler * 10] * 200))


def test_an_entity_bomb_is_not_expanded(parser: DocumentParser) -> None:
    entities = b"".join(b'<!ENTITY a%d "%s">' % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 12))
    page = (
        b'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY a0 "lol">'
        + entities
        + b"]><html><body><p>&a11;</p></body></html>"
    )
    assert len(parser.parse("x.xhtml", page).content) < 5000


@pytest.mark.parametrize("kept_bytes", [4, 100, 6000])
def test_a_truncated_document_is_refused(parser: DocumentParser, kept_bytes: int) -> None:
    with pytest.raises(DocumentError, match=r"refused it: .*ZIP"):
        parser.parse("cut.docx", (FILES / "harbour.docx").read_bytes()[:kept_bytes])


@pytest.mark.parametrize("name", ["book.xlsx", "book.xls"])
def test_a_truncated_workbook_is_refused(parser: DocumentParser, name: str) -> None:
    with pytest.raises(DocumentError, match="refused it: "):
        parser.parse(name, (FILES / name).read_bytes()[:3_000])


def test_a_document_with_the_wrong_extension_is_parsed_by_its_content(parser: DocumentParser) -> None:
    read = parser.parse("really-a-pdf.docx", (FILES / "harbour.pdf").read_bytes())
    assert (read.file_type, read.title) == ("pdf", "The Harbour Guide")
    assert parser.parse("page.doc", b"<html><body><h1>Saved as Word</h1></body></html>").file_type == "html"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x7fELF\x02\x01\x01" + b"\x00" * 100, "executable"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "PNG image"),
        (b"PK\x03\x04" + b"\x00" * 100, "ZIP archive"),
        (b"\x1f\x8b\x08" + b"\x00" * 100, "gzip"),
        (bytes(range(256)) * 10, "binary"),
    ],
)
@pytest.mark.parametrize("name", ["x.txt", "x.md", "x.py", "x.json", "x.html", "x.csv", "x", "x.unheard-of"])
def test_binary_data_with_a_text_extension_is_refused(
    parser: DocumentParser, name: str, data: bytes, reason: str
) -> None:
    with pytest.raises(DocumentError, match=reason):
        parser.parse(name, data)


def test_text_with_the_extension_of_a_binary_format_is_refused(parser: DocumentParser) -> None:
    with pytest.raises(DocumentError, match=r"named \.pdf but"):
        parser.parse("x.pdf", b"just words")


@pytest.mark.parametrize(
    "name", ["x.txt", "x.md", "x.pdf", "x.docx", "x.html", "x.csv", "x.json", "x.ipynb", "x.eml", "x"]
)
@pytest.mark.parametrize("data", [b"", b" \n\t\r\n ", b"\xef\xbb\xbf", b"\xff\xfe\n\x00"])
def test_an_empty_file_is_an_empty_document(parser: DocumentParser, name: str, data: bytes) -> None:
    if name in {"x.pdf", "x.docx"} and data.strip():
        pytest.skip("a byte order mark is not an empty PDF")
    assert parser.parse(name, data).content == ""


def test_only_line_endings_byte_order_marks_and_nuls_of_text_change(parser: DocumentParser) -> None:
    text = "\ufeff# Title \r\n\r\n\tindented  \rlast\x00 line"
    assert parser.parse("a.md", text.encode("utf-8")).content == "# Title \n\n\tindented  \nlast line"
    assert parser.parse("a.md", text.encode("utf-16")).content == "# Title \n\n\tindented  \nlast line"


def test_a_python_module_is_decoded_with_its_declared_encoding(parser: DocumentParser) -> None:
    read = parser.parse("a.py", "# coding: koi8-r\ns = 'мир'\n".encode("koi8-r"))
    assert (read.content, read.file_type, read.title) == ("# coding: koi8-r\ns = 'мир'\n", "python", None)


PAGE = """<!doctype html><html lang="de"><head><meta charset="{charset}"><title>Häfen &amp;
 Schiffe</title><meta name="author" content="Ana Müller"><style>p {{}}</style></head><body><script>var x</script>
<header><h1>Übersicht</h1></header><h2 id="a">Ankunft<a href="#a"></a></h2><p>Größe &gt; 20&nbsp;m.<br>Zweite Zeile.</p>
<img alt="Ein Hafen" src="data:image/png;base64,{base64}"><ul><li>eins</li></ul><pre>def f():
    return 1</pre></body></html>"""


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "utf-16"])
def test_html_is_decoded_with_its_charset_and_becomes_markdown(parser: DocumentParser, charset: str) -> None:
    page = PAGE.format(charset=charset, base64="QUJD" * 1000)
    read = parser.parse("seite.html", page.encode(charset))
    assert read.title == "Häfen & Schiffe"
    assert read.metadata == {"language": "de", "author": "Ana Müller"}
    assert headings(read.content) == ["Übersicht", "Ankunft"]
    assert "Größe > 20" in read.content
    assert "Ein Hafen" in read.content
    assert "    return 1" in read.content
    assert "QUJD" not in read.content
    assert "var x" not in read.content


def test_the_title_of_a_page_without_a_head_is_not_in_its_content(parser: DocumentParser) -> None:
    read = parser.parse("x", b"<!DOCTYPE html><title>Harbour</title>words")
    assert (read.file_type, read.title, read.content) == ("html", "Harbour", "words\n")


def test_rows_and_items_without_end_tags_are_not_nested(parser: DocumentParser) -> None:
    rows = "".join(f"<tr><td>Port {n}<td>{n}" for n in range(100))
    page = f"<h1>Ports</h1><table><tr><th>Name<th>Depth{rows}</table><ul>{'<li>item' * 100}</ul>"
    content = parser.parse("ports.html", page.encode()).content
    assert "| Port 99 | 99" in content
    assert content.count("- item") == 100
    nested = "<table><tbody><tr><td>" * 30 + "deep words" + "</td></tr></tbody></table>" * 30
    assert "deep words" in parser.parse("deep.html", nested.encode()).content


def test_a_table_of_a_hundred_thousand_cells_is_read(parser: DocumentParser) -> None:
    rows = f"<tr>{'<td>1' * 100}</tr>" * 1_010
    content = parser.parse("long.html", f"<h1>Long</h1><table>{rows}<tr><td>last</table>".encode()).content
    assert content.count("| 1 ") > 100_000
    assert "| last " in content


@pytest.mark.parametrize("depth", [30, 60, 100, 1000, 100_000])
def test_deeply_nested_html_keeps_its_text(parser: DocumentParser, depth: int) -> None:
    page = "<title>Deep</title><h1>Top</h1>" + "<div>" * depth + "<p>deep words</p>" + "</div>" * depth + "<p>after</p>"
    read = parser.parse("deep.html", page.encode())
    assert read.title == "Deep"
    assert headings(read.content) == ["Top"]
    assert "deep words" in read.content
    assert "after" in read.content


@pytest.mark.parametrize("name", ["x.json", "x.ipynb", "x.jsonl"])
def test_json_nested_a_hundred_thousand_levels_deep_is_kept_as_text(parser: DocumentParser, name: str) -> None:
    text = "[" * 100_000 + '"word"' + "]" * 100_000
    assert parser.parse(name, text.encode()).content.strip() == text


def test_fifty_megabytes_of_json_on_one_line_are_parsed(parser: DocumentParser) -> None:
    data = json.dumps({"text": "word " * 10_000_000}).encode()
    assert len(data) > 50_000_000
    assert parser.parse("big.json", data).content.startswith("text: word word")


def test_csv_and_notebooks_use_their_readers(parser: DocumentParser) -> None:
    assert parser.parse("a.csv", "näme;ort\nAna;Kiel\n".encode("cp1252")).content.endswith("\n\nnäme: Ana; ort: Kiel\n")
    notebook = json.dumps({"cells": [{"cell_type": "markdown", "source": "# Analysis"}]})
    read = parser.parse("a.ipynb", notebook.encode())
    assert (read.title, read.content, read.file_type) == ("Analysis", "# Analysis\n", "notebook")


def make_email(**contents: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = "Grüße aus dem Hafen"
    message["From"] = "Ana Müller <ana@example.org>"
    message["Date"] = "Tue, 03 Mar 2026 10:00:00 +0100"
    for subtype, text in contents.items():
        if message.get_content_type() == "text/plain" and not message.get_payload():
            message.set_content(text, subtype=subtype, charset="iso-8859-1")
        else:
            message.add_alternative(text, subtype=subtype)
    return message


def test_an_email_becomes_headers_body_and_attachment_names(parser: DocumentParser) -> None:
    message = make_email(plain="Das Schiff ist spät.\n", html="<p>not this</p>")
    message.add_attachment(b"\x00\x01", maintype="application", subtype="zip", filename="fotos.zip")
    read = parser.parse("a.eml", bytes(message))
    assert read.title == "Grüße aus dem Hafen"
    assert read.content == (
        "# Grüße aus dem Hafen\nFrom: Ana Müller <ana@example.org>\nDate: Tue, 03 Mar 2026 10:00:00 +0100\n"
        "Attachments: fotos.zip\n\nDas Schiff ist spät.\n"
    )
    assert read.metadata["attachments"] == ["fotos.zip"]


def test_an_html_only_email_becomes_markdown(parser: DocumentParser) -> None:
    content = parser.parse("a.eml", bytes(make_email(html="<h2>Spät</h2><p>Das <b>Schiff</b></p>"))).content
    assert "## Spät\n\nDas **Schiff**" in content


@pytest.mark.parametrize(
    "data", [b"no headers at all", b"Subject: =?utf-8?q?=FF?=\nFrom: @@<>,;\nDate: never\n\nwords"]
)
def test_a_malformed_email_is_still_parsed(parser: DocumentParser, data: bytes) -> None:
    assert parser.parse("a.eml", data).content.strip()


def test_a_file_over_the_size_limit_is_refused() -> None:
    with DocumentParser(max_bytes=1000) as parser, pytest.raises(DocumentError, match="exclude it or raise the limit"):
        parser.parse("a.txt", b"x" * 1001)


CASES = FILES / "structure"


@pytest.mark.parametrize(
    ("name", "found", "lost"),
    [
        (
            "pptx_parts.pptx",
            ["Notes: Speaker note: mention the Reykjavik pilot", "## Numbers", "Hidden slide obsidian"],
            [],
        ),
        ("docx_tracked.docx", ["rent is 5200 euros payable"], ["4500", "courtyard.\n\nPets"]),
        (
            "docx_notes.docx",
            ["Rent is due monthly.\n\nFootnote: Footnote on herons", "Endnote on gulls"],
            ["[^", "[cmt"],
        ),
        (
            "docx_notes.docx",
            ["Comment (Eve): Comment about albatross", "Inside the text box"],
            ["deleted row", "Deleted"],
        ),
        ("docx_notes.docx", ["Header of pelicans", "Footer of cranes", "Moved sentence"], ["Moved sentence\n\nMoved"]),
    ],
)
def test_the_parts_of_an_office_file_are_found_once(
    parser: DocumentParser, name: str, found: list[str], lost: list[str]
) -> None:
    content = parser.parse(name, (CASES / name).read_bytes()).content
    assert [text for text in found if text not in content] == []
    assert [text for text in lost if text in content] == []


def test_front_matter_is_metadata_and_no_text(parser: DocumentParser) -> None:
    read = parser.parse("a.md", b'+++\ntitle = "TOML titled page"\ndate = 2026-03-04\n+++\n\nIntro.\n\n## Section\n')
    assert (read.title, read.content) == ("TOML titled page", "Intro.\n\n## Section\n")
    assert read.metadata == {"title": "TOML titled page", "date": "2026-03-04"}
    page = parser.parse("a.html", b"---\r\ntitle: Jekyll\r\ntags: [a]\r\n---\r\n<title>x</title><p>words</p>")
    assert (page.title, page.content, page.metadata["tags"]) == ("Jekyll", "words\n", ["a"])
    broken = parser.parse("a.md", b"---\ntitle: a: b\n---\n\ntext\n")
    assert broken.content.startswith("---\ntitle: a: b\n---\n")
    assert "front matter is not valid YAML" in broken.report.notes[0]


@pytest.mark.parametrize(
    ("name", "data", "file_type", "content"),
    [
        ("a.json", b'{"q":"gro\\u00df"}\n{"q":"Z\\u00fcrich"}\n', "json", "q: gro\u00df\n\nq: Z\u00fcrich\n"),
        ("unnamed", b'{"m": ["Z\\u00fcrich"]}', "json", "m: Z\u00fcrich\n"),
        ("app.log", b'{"m":"Z\\u00fcrich"}\n{"m":"b"}\n', "jsonl", "m: Z\u00fcrich\n\nm: b\n"),
        (
            "film.srt",
            b"1\n00:00:01,000 --> 00:00:02,000\nThe tram\n\n2\n00:00:03,000 --> 00:00:04,000\nleaves.\n",
            "subtitles",
            "The tram leaves.\n",
        ),
        ("a.md", b"A ![quay](data:image/png;base64," + b"QUJD" * 99 + b") end\n", "markdown", "A ![quay]() end\n"),
        ("a.tex", b'\\title{Z{\\"u}rich}\n', "latex", "\\title{Z\u00fcrich}\n"),
    ],
)
def test_text_with_a_structure_is_read_by_its_content(
    parser: DocumentParser, name: str, data: bytes, file_type: str, content: str
) -> None:
    read = parser.parse(name, data)
    assert (read.file_type, read.content) == (file_type, content)


def test_a_page_has_no_navigation(parser: DocumentParser) -> None:
    sidebar = b"<aside><h3>On this page</h3><a href='#a'>Overview</a></aside>"
    page = b"<title>Docs</title>" + sidebar + b"<main><h1>Rotate keys</h1><p>Use the vault.</p></main>"
    read = parser.parse("a.html", page)
    assert (read.content, read.report.notes) == ("# Rotate keys\n\nUse the vault.\n", ())


def test_a_broken_notebook_says_so(parser: DocumentParser) -> None:
    read = parser.parse("a.ipynb", b'{"cells": [{"cell_type": "markdown", "source": "st\\u00e4dte')
    assert "st\u00e4dte" in read.content
    assert read.report.notes == ("it is not a notebook; its text was read as JSON",)


def test_only_documents_with_pictures_depend_on_what_recognises_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, picture = (ParsedDocument(None, "", "pdf", {}, ParseReport(unread_pages=pages)) for pages in ((), (2,)))
    monkeypatch.setattr(parser_module, "recognition_version", lambda: None)
    before = plain.reader_version("a.pdf"), picture.reader_version("a.pdf")
    assert before == (reader_version("a.pdf"), reader_version("a.pdf") + "+ocr-missing")
    assert all(is_current_reader(version) and is_current_reader(version, "a.pdf") for version in before)
    monkeypatch.setattr(parser_module, "recognition_version", lambda: "9.9")
    assert [is_current_reader(version) for version in before] == [True, False]
    assert picture.reader_version("a.pdf").endswith("+ocr-9.9")
    # Read as a PDF, whatever its name is.
    assert not is_current_reader(before[0], "a.docx")
