"""Office packages are opened without zipfile, and by it where something is unusual."""

import io
import zipfile

import pytest

from rag_assets.documents.parsing.readers.office.archive import Archive

PARTS = {"a.xml": b"<a/>" * 2000, "word/theme/theme1.xml": b"<t/>", "b.xml": b"", "ü.xml": b"<u/>"}


def make(parts: dict[str, bytes], comment: bytes = b"", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as package:
        for name, content in parts.items():
            package.writestr(name, content)
        package.comment = comment
    return written.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize(("names", "comment"), [(["a.xml", "b.xml"], b""), (["a.xml", "b.xml", "ü.xml"], b"by hand")])
def test_parts_are_read_whole_and_in_part(names: list[str], comment: bytes, method: int) -> None:
    archive = Archive(make({name: PARTS[name] for name in names}, comment, method))

    assert archive.names == names
    assert {name: archive.read(name) for name in names} == {name: PARTS[name] for name in names}
    assert archive.read("a.xml", 10) == PARTS["a.xml"][:10]
    assert "c.xml" not in archive


def test_a_copy_has_the_changed_parts_and_not_those_that_no_reader_opens() -> None:
    copy = Archive(make(PARTS)).copy({"a.xml": "<ä/>".encode(), "b.xml": None})

    with zipfile.ZipFile(io.BytesIO(copy)) as package:
        assert package.testzip() is None
        assert {name: package.read(name) for name in package.namelist()} == {
            "a.xml": "<ä/>".encode(),
            "ü.xml": PARTS["ü.xml"],
        }


@pytest.mark.parametrize("data", [b"", b"PK\5\6", b"no archive at all" * 10, make(PARTS)[:-30]])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(zipfile.BadZipFile):
        Archive(data)


def test_a_part_without_its_header_is_refused() -> None:
    data = make({"a.xml": b"text"}, method=zipfile.ZIP_STORED)

    with pytest.raises(zipfile.BadZipFile, match=r"a\.xml"):
        Archive(b"XX" + data[2:]).read("a.xml")
