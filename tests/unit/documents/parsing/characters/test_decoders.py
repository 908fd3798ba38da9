# ruff: noqa: RUF001
"""The decoders of the Encoding Standard: samples of what its tables hold, and every sequence read in two ways."""

import pytest

from rag_assets.documents.parsing.characters.decoders import decode_as
from rag_assets.documents.parsing.characters.differences import SINGLE_BYTE
from rag_assets.documents.parsing.characters.labels import find_encoding


@pytest.mark.parametrize(
    ("label", "encoding"),
    [
        ("latin1", "windows-1252"),
        (" US-ASCII\n", "windows-1252"),
        ("iso-8859-9", "windows-1254"),
        ("TIS-620", "windows-874"),
        ("iso-8859-11", "windows-874"),
        ("ks_c_5601-1987", "euc-kr"),
        ("cp949", "euc-kr"),
        ("gb2312", "gbk"),
        ("x-sjis", "shift_jis"),
        ("cp932", "shift_jis"),
        ("big5-hkscs", "big5"),
        ("iso-2022-jp-ms", "iso-2022-jp"),
        ("koi8-ru", "koi8-u"),
        ("cp866", "ibm866"),
        ("unicode", "utf-16le"),
        ("logical", "iso-8859-8"),
        ("cp850", "cp850"),
        ("ISO-8859-2//TRANSLIT", "iso-8859-2"),
        ("windows 1251", "windows-1251"),
        ("hex", None),
        ("idna", None),
        ("no-such-charset", None),
        ("", None),
    ],
)
def test_labels_name_the_encoding_that_programs_write(label: str, encoding: str | None) -> None:
    assert find_encoding(label) == encoding


@pytest.mark.parametrize(
    ("encoding", "data", "text"),
    [
        ("windows-1252", b"\x80\x81\x9f", "€\x81Ÿ"),
        ("windows-1254", b"\xd0\xdd\xde\xf0\xfd\xfe \x93\x85", "ĞİŞğış “…"),
        ("windows-874", b"\xa1\xd2\xc3 \x80\x85\x91", "การ €…‘"),
        ("windows-1255", b"\xca\xf9", "\u05baש"),
        ("koi8-u", b"\xae\xbe\xa4", "ўЎє"),
        ("x-mac-cyrillic", b"\xa2\xb6\xff", "Ґґ€"),
        ("x-user-defined", b"A\x80\xff", "A\uf780\uf7ff"),
        ("iso-8859-8", b"\xa1\xe0", "\ufffdא"),
        ("shift_jis", b"\x87\x40\xee\xe0\x87\x8a\xfa\x40\x81\x60\xb1\xf0\x40", "①髙㈱ⅰ～ｱ\ue000"),
        ("shift_jis", b"\xa0\x81\x20\x81", "\ufffd\ufffd \ufffd"),
        ("euc-jp", b"\xad\xa1\xad\xea\xf9\xa1\xa1\xc1\xa1\xdd\x8e\xb1\x8f\xb0\xa1\xa1\xa1", "①㈱纊～－ｱ丂\u3000"),
        ("euc-kr", b"\x8cc\xb9\xe6\xb0\xa2\xc7\xcf \xbc\x84\xc8\xfe", "똠방각하 펲힝"),
        ("big5", b"\x88\x62\x87\x7a\xa1\x45\xa2\x41\xa1\xfe\xc6\xe7\xf9\xd6", "Ê̄㡵‧∕／ぁ碁"),
        ("gbk", b"\x80\xa2\xe3\xa6\xd9\xfe\x59\x81\x30\x81\x30", "€€︐龴\x80"),
        ("gb18030", b"\xa8\xbc\x81\x35\xf4\x37\x94\x39\xda\x33", "ḿ\ue7c7💩"),
        ("gb18030", b"\x81 \x81\x30", "\ufffd \ufffd"),
    ],
)
def test_bytes_are_decoded_by_the_tables_of_the_standard(encoding: str, data: bytes, text: str) -> None:
    assert decode_as(data, encoding) == text
    assert decode_as(b"\xff" + data, encoding).endswith(text), "read sequence by sequence"


@pytest.mark.parametrize("encoding", ["shift_jis", "euc-jp", "euc-kr", "big5", "gbk"])
def test_valid_text_is_read_as_its_sequences_are(encoding: str) -> None:
    # A byte that no encoding has makes the decoder read sequence by sequence.
    invalid = b"\xff"
    for lead in range(0x81, 0xFF):
        row = [bytes((lead, trail)) for trail in range(0x40, 0xFF)]
        known = [pair for pair in row if "\ufffd" not in decode_as(pair, encoding)]
        text = decode_as(b"".join(known), encoding)
        assert decode_as(b"".join(known) + invalid, encoding) == text + "\ufffd"


@pytest.mark.parametrize("encoding", SINGLE_BYTE)
def test_every_byte_of_a_single_byte_encoding_is_one_character(encoding: str) -> None:
    text = decode_as(bytes(range(256)), encoding)
    assert len(text) == 256
    assert text[:128] == "".join(map(chr, range(128)))
    assert not encoding.startswith("windows-125") or not set(text[128:160]) & {"\ufffd"}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b$B-!-jF|K\\\x1b(B ok", "①㈱日本 ok"),
        (b"\x1b$By!\x1b(B", "纊"),
        (b"\x1b(I123\x1b(B!", "ｱｲｳ!"),
        (b"\x0e123\x0f!", "ｱｲｳ!"),
        (b"\xb1\xb2", "ｱｲ"),
        (b"\x1b(J\\~\x1b(B\\~", "¥‾\\~"),
        (b"\x1b$(D0!\x1b(B", "丂"),
        (b"\x1b$B$3\nnext line", "こ\nnext line"),
        (b"\x1b$B$3\xff", "こ\ufffd"),
    ],
)
def test_iso_2022_jp_has_the_extensions_of_mail_programs(data: bytes, text: str) -> None:
    assert decode_as(data, "iso-2022-jp") == text
