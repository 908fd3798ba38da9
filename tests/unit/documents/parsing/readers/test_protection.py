"""Old Office files with a password are refused with that reason."""

import struct

import pytest

from rag_assets.documents.parsing.readers.office.protection import refuse_encrypted
from rag_assets.errors import DocumentError
from tests.support.data.compound_file import compound_file

BOF = struct.pack("<HHI", 0x0809, 4, 0)
WORD = {flags: bytes(10) + struct.pack("<H", flags) + bytes(100) for flags in (0x0100, 0x0200)}
SLIDES = {token: bytes(12) + struct.pack("<I", token) + bytes(20) for token in (0xF3D1C4DF, 0xE391C05F)}


@pytest.mark.parametrize(
    ("kind", "stream", "content"),
    [
        ("doc", "WordDocument", WORD[0x0100]),
        ("ppt", "Current User", SLIDES[0xF3D1C4DF]),
        ("xls", "Workbook", BOF + struct.pack("<HH", 0x002F, 2) + bytes(40)),
        ("xls", "Book", BOF + struct.pack("<HHH", 0x0086, 2, 0) + struct.pack("<HH", 0x002F, 2) + bytes(40)),
    ],
)
def test_a_password_is_the_reason(kind: str, stream: str, content: bytes) -> None:
    with pytest.raises(DocumentError, match="protected by a password"):
        refuse_encrypted(compound_file({stream: content}), kind)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("doc", compound_file({"WordDocument": WORD[0x0200]})),
        ("ppt", compound_file({"Current User": SLIDES[0xE391C05F]})),
        ("xls", compound_file({"Workbook": BOF * 9})),
        ("xls", compound_file({"Other": b"x"})),
        ("doc", b"\xd0\xcf\x11\xe0 damaged"),
    ],
)
def test_other_files_are_left_to_their_reader(kind: str, data: bytes) -> None:
    refuse_encrypted(data, kind)
