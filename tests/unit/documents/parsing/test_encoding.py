# ruff: noqa: RUF001
import codecs
import os
import time

import pytest

from rag_assets.documents.parsing.encoding import declared_encoding, decode, decode_text
from rag_assets.errors import DocumentError

GERMAN = "Grüße aus dem Hafen. Das Schiff ist spät, die Maße sind größer als üblich.\n"
POLISH = "Zażółć gęślą jaźń. Proszę przyjść jutro do biura, będziemy rozmawiać o książkach.\n"
RUSSIAN = "Привет, мир. Это простой текст на русском языке, который надо прочитать правильно.\n"
GREEK = "Καλημέρα κόσμε. Αυτό είναι ένα απλό κείμενο στα ελληνικά.\n"
JAPANESE = "これは日本語の文章です。\nエンコーディングを正しく検出する必要があります。\n"
CHINESE = "这是一个简单的中文文本。\n需要正确检测编码。港口的船只很晚才到。\n"
HUNGARIAN = "Árvíztűrő tükörfúrógép. Köszönöm szépen a levelét, holnap válaszolok.\n"
ESTONIAN = "Tere, maailm. Õhtul läheme kõik koos žürii ees mängima, šokolaad on ka. Köögis pole midagi.\n"
FRENCH = "À bientôt à l'école : le café est fermé, où êtes-vous passés ? Ça coûte cher.\n"
KOREAN = "이것은 간단한 한국어 텍스트입니다. 올바르게 감지되어야 합니다.\n"


@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, JAPANESE, CHINESE, "emoji 🚢\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-be"])
def test_unicode_is_decoded_with_and_without_a_byte_order_mark(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("bom_and_encoding", [(codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF32_BE, "utf-32-be")])
def test_a_big_endian_byte_order_mark_selects_the_encoding(bom_and_encoding: tuple[bytes, str]) -> None:
    bom, encoding = bom_and_encoding
    assert decode(bom + GREEK.encode(encoding)) == GREEK


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "latin-1"),
        ("café", "latin-1"),
        ("“Quoted” and priced at 12 €, said Zoë.\n", "cp1252"),
        (POLISH, "cp1250"),
        (POLISH, "iso8859-2"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (GREEK, "iso8859-7"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc-jp"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gb18030"),
        (KOREAN, "euc-kr"),
        ("株式会社①髙橋商店㈱の案内です。連絡先は№5です。\n", "cp932"),
        ("名前,値\n①㈱,1\n髙橋,2\n", "cp932"),
        ("時間", "cp932"),
        ("It’s “fine” – l’été…", "cp1252"),
        ("펲시콜라와 똠방각하는 한국어 문서에 나옵니다.\n", "cp949"),
        ("這是一個簡單的中文文本。需要正確檢測編碼。\n", "big5"),
        (HUNGARIAN, "cp1250"),
        (ESTONIAN, "cp1257"),
        (GERMAN, "cp850"),
        (GERMAN, "mac_roman"),
        (FRENCH, "cp850"),
        (FRENCH, "cp1252"),
        (POLISH, "cp852"),
    ],
)
def test_legacy_encodings_are_detected(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_non_ascii_at_the_end_of_a_long_ascii_text_is_decoded() -> None:
    text = "plain words\n" * 50_000 + GERMAN
    assert decode(text.encode("latin-1")) == text


def test_one_damaged_byte_does_not_turn_utf8_into_another_encoding() -> None:
    damaged = (GERMAN * 20).encode()[:-40] + b"\xff" + b" end"
    assert decode(damaged).startswith(GERMAN)
    assert decode(("あ" * 1000).encode()[:-1]).startswith("あ" * 999)


def test_text_with_stray_nul_bytes_is_not_binary() -> None:
    assert decode(b"hello\x00world\nbye\x00") == "hello\x00world\nbye\x00"
    assert decode(b"a\x00b") == "a\x00b"


@pytest.mark.parametrize(
    "data",
    [os.urandom(20_000), bytes(range(256)) * 40, b"\x00" * 1000, b"\x01\x02\x03\x04\x05\x00\x00\xff" * 100],
)
def test_binary_data_is_refused(data: bytes) -> None:
    # Without the prefix, random bytes could start with a byte order mark.
    with pytest.raises(DocumentError, match="binary"):
        decode(b"\x80" + data)


@pytest.mark.parametrize(
    ("data", "kind", "encoding"),
    [
        (b'<html><head><meta charset="iso-8859-2">', "html", "iso-8859-2"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS">', "html", "Shift_JIS"),
        (b'<?xml version="1.0" encoding="koi8-r"?><html>', "html", "koi8-r"),
        (b'<?xml version="1.0" encoding="windows-1251"?><a/>', "code", "windows-1251"),
        (b"#!/usr/bin/python\n# -*- coding: latin-1 -*-\n", "python", "latin-1"),
        (b"x = 1\ny = 2\n# coding: latin-1\n", "python", None),
        (b"no declaration", "html", None),
        (b'<!-- <meta charset="koi8-r"> --><meta charset=ks_c_5601-1987>', "html", "ks_c_5601-1987"),
        (b'<meta charset="utf-16">', "html", "utf-8"),
        (b'@charset "euc-jp";\nbody {}', "code", "euc-jp"),
        (b'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=ISO-8859-2\\n"\n', "code", "ISO-8859-2"),
        (b"\\documentclass{article}\n\\usepackage[ansinew]{inputenc}\n", "text", "windows-1252"),
        (b"Notes -*- mode: org; coding: iso-2022-jp -*-\n", "text", "iso-2022-jp"),
    ],
)
def test_declared_encoding_is_found(data: bytes, kind: str, encoding: str | None) -> None:
    assert declared_encoding(data, kind) == encoding


@pytest.mark.parametrize(
    ("text", "encoding", "declared"),
    [
        ("①㈱髙", "cp932", "Shift_JIS"),
        ("“Güneş” – €5 ışık…", "cp1254", "iso-8859-9"),
        ("ไทย…", "cp874", "tis-620"),
        ("똠방", "cp949", "euc-kr"),
        ("처자", "cp949", "ks_c_5601-1987"),
        ("日本", "utf-16-le", "utf-16"),
        ("日本語", "utf-16-be", "utf-16be"),
        ("①ｱｲｳ", "iso2022_jp_ext", "iso-2022-jp"),
        ("汉字 abc", "hz", "hz-gb-2312"),
        ("한국어", "iso2022_kr", "iso-2022-kr"),
        ("Grüße", "utf-7", "utf-7"),
        ("ÄÖ", "cp437", "cp437"),
    ],
)
def test_short_texts_are_decoded_as_they_declare(text: str, encoding: str, declared: str) -> None:
    data = b"\x1b$B-!\x1b(I123\x1b(B" if encoding == "iso2022_jp_ext" else text.encode(encoding)
    assert decode(data, declared) == text


@pytest.mark.parametrize(
    "data", [b"words and " * 100_000 + b"\xe4", b"\x82\xa0" * 100_000 + b"a", b"a" * 100_000 + b"\xff"]
)
def test_detection_takes_no_time(data: bytes) -> None:
    started = time.process_time()
    decode(data)
    assert time.process_time() - started < 1


def test_characters_that_stand_for_undecodable_bytes_are_counted() -> None:
    assert decode_text(("größer " * 50).encode() + b"\xff \xef\xbf\xbd").replaced_characters == 1
    assert decode_text(("日本語" * 50).encode("cp932") + b"\xfd", "shift_jis").replaced_characters == 1
    assert decode_text("\ufffd".encode("utf-16")).replaced_characters == 0


def test_a_declared_encoding_overrides_detection_but_not_valid_utf8() -> None:
    assert decode("Příliš".encode("iso8859-2"), "iso-8859-2") == "Příliš"
    assert decode("Příliš".encode(), "iso-8859-2") == "Příliš"


@pytest.mark.parametrize("declared", ["no-such-charset", "hex", "zlib", "idna", "utf-8", "x" * 40, "\x00"])
def test_an_invalid_or_unsafe_declaration_is_ignored(declared: str) -> None:
    assert decode(GERMAN.encode("latin-1"), declared) == GERMAN
