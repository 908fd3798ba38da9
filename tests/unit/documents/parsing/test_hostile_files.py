"""Bombs, deep nesting and damage end in text or in one sentence; `python -m tests.benchmarks.hostile` tries more."""

import io
from collections.abc import Iterator

import pytest

from rag_assets.documents.parsing.parser import DocumentParser, ParsedDocument
from rag_assets.errors import DocumentError
from tests.support.data.hostile.bombs import entity_bombs, hostile_pdfs, lines, nested_files, unpacking_bombs
from tests.support.data.hostile.mutations import cuts, mutations, samples
from tests.support.data.hostile.packages import changed, open_document, package, parts_of
from tests.support.paths import FILES

OFFICE = ("docx", "xlsx", "pptx", "odt", "odp", "ods")


@pytest.fixture(scope="module")
def parser() -> Iterator[DocumentParser]:
    with DocumentParser(timeout_s=30, memory_mb=1024) as parser:
        yield parser


def read(parser: DocumentParser, name: str, data: bytes) -> ParsedDocument | str:
    """The document, or the reason why there is none. A document without text says why, unless the file is empty."""
    try:
        found = parser.parse(name, data)
    except DocumentError as error:
        reason = str(error)
        assert reason, name
        assert "\n" not in reason, name
        # These are faults of a reader, not of the file.
        assert not any(words in reason for words in ("the parser died", "the parser gave up", "exit code")), reason
        return reason
    assert found.content.strip() or found.report.notes, f"{name} is empty without a reason"
    return found


def notes(found: ParsedDocument | str) -> str:
    assert isinstance(found, ParsedDocument), found
    return " ".join(found.report.notes)


def test_entity_bombs_are_refused_or_not_expanded(parser: DocumentParser) -> None:
    for name, make in entity_bombs().items():
        found = read(parser, name, make())
        if name.endswith(OFFICE):
            assert isinstance(found, str), name
            assert "declares entities" in found
        else:
            assert isinstance(found, ParsedDocument), found
            assert len(found.content) < 100_000, name


def test_deep_nesting_is_read_or_refused(parser: DocumentParser) -> None:
    found = {name: read(parser, name, make()) for name, make in nested_files(2_000).items()}
    for name in ("deep.html", "deep.json", "deep.rtf", "deep.epub", "deep-quotes.md", "deep.eml", "deep-parts.eml"):
        document = found[name]
        assert isinstance(document, ParsedDocument), f"{name}: {document}"
        assert "words" in document.content, name
    for name in ("deep.eml", "deep-parts.eml", "deep.mbox"):
        assert "nested too deeply" in notes(found[name]), name
    assert "its front matter is not valid YAML" in notes(found["front-matter.md"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bomb.odt", "ZIP bomb"),
        ("bomb.epub", "ZIP bomb"),
        ("huge-sizes.docx", "uncompressed size 4294967294 bytes exceeds"),
        ("zip64.docx", "uncompressed size 1125899906842624 bytes exceeds"),
        ("archive-in-archive.docx", "valid UTF-8"),
    ],
)
def test_packages_that_unpack_to_too_much_are_refused(parser: DocumentParser, name: str, reason: str) -> None:
    found = read(parser, name, unpacking_bombs(30)[name]())
    assert isinstance(found, str), name
    assert reason in found


def test_names_in_packages_are_no_paths(parser: DocumentParser) -> None:
    for name in ("names.docx", "twice.docx", "repeated-spaces.odt", "many-comments.docx"):
        assert isinstance(read(parser, name, unpacking_bombs()[name]()), ParsedDocument), name


@pytest.mark.parametrize(
    "name",
    ["circular.pdf", "deep-tree.pdf", "lying-count.pdf", "circular-bookmarks.pdf", "huge-page.pdf", "nan-matrix.pdf"],
)
def test_pdfs_that_refer_to_themselves_end(parser: DocumentParser, name: str) -> None:
    assert isinstance(read(parser, name, hostile_pdfs()[name]()), ParsedDocument)


@pytest.mark.parametrize("name", ["parameters.eml", "headers.eml", "tags.html", "braces.tex", "pipes.md", "marks.txt"])
def test_megabytes_in_the_wrong_place_take_no_quadratic_time(parser: DocumentParser, name: str) -> None:
    assert isinstance(read(parser, name, lines(300_000)[name]()), ParsedDocument)


def test_encrypted_packages_are_refused(parser: DocumentParser) -> None:
    manifest = (
        "<manifest:manifest><manifest:file-entry><manifest:encryption-data/></manifest:file-entry></manifest:manifest>"
    )
    pages = '<encryption><CipherReference URI="EPUB/text/ch001.xhtml"/></encryption>'
    fonts = '<encryption><CipherReference URI="EPUB/fonts/a.otf"/></encryption>'
    for kind in ("odt", "odp", "ods"):
        parts: dict[str, str | bytes] = {**parts_of(io.BytesIO(open_document(kind, "")))}
        parts |= {"META-INF/manifest.xml": manifest, "content.xml": b"\xff\x00" * 99}
        found = read(parser, f"locked.{kind}", package(parts))
        assert found == "it is protected by a password; store it without one, or exclude it"
    assert "(DRM)" in str(read(parser, "bought.epub", changed("harbour.epub", {"META-INF/encryption.xml": pages})))
    own_fonts = read(parser, "own.epub", changed("harbour.epub", {"META-INF/encryption.xml": fonts}))
    assert isinstance(own_fonts, ParsedDocument)
    for name in ("harbour.docx", "book.xlsx", "harbour.pptx", "harbour.epub"):
        assert "protected by a password" in str(read(parser, name, _locked((FILES / name).read_bytes()))), name


def test_a_broken_sheet_is_said_to_be_missing(parser: DocumentParser) -> None:
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">'
        '<c r="A1" t="s"><v>99</v></c></row></sheetData></worksheet>'
    )
    broken = changed("book.xlsx", {"xl/worksheets/sheet1.xml": sheet})
    assert "sheets may be missing" in notes(read(parser, "broken.xlsx", broken))


def test_files_cut_off_anywhere_are_read_or_refused(parser: DocumentParser) -> None:
    found = samples()
    for name, data in found.items():
        for part in cuts(data, 4):
            read(parser, name, part)
    assert {name.rpartition(".")[2] for name in found} >= {*OFFICE, "epub", "pdf", "eml", "mbox", "mht", "msg", "rtf"}


def test_damaged_files_are_read_or_refused(parser: DocumentParser) -> None:
    for name, data in samples().items():
        # The pictures of scans are recognised where the extra `ocr` is, which takes seconds.
        for damaged in mutations(data, 0 if name == "scanned.pdf" else 2, name):
            read(parser, name, damaged)


def test_the_samples_are_sound(parser: DocumentParser) -> None:
    for name, data in samples().items():
        if name not in ("locked.pdf", "scanned.pdf"):
            assert notes(read(parser, name, data)) == "", name


def _locked(data: bytes) -> bytes:
    """The package with the flag of encryption at each part."""
    found = bytearray(data)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark)
        while place >= 0:
            found[place + at] |= 1
            place = data.find(mark, place + 4)
    return bytes(found)
