"""The labels of encodings, as the Encoding Standard (WHATWG) lists them."""

import re
from functools import cache, lru_cache
from typing import Final

# The encoding, and the labels by which files and mails name it. The narrow standards are read as the wider encodings
# that programs really write: ISO-8859-1 as windows-1252, KS C 5601 as CP949, GB 2312 as GBK.
_LABELS: Final = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "ibm866": "866 cp866 csibm866 ibm866",
    "iso-8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso-8859-3": "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    "iso-8859-4": "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    "iso-8859-5": ("csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988"),
    "iso-8859-6": (
        "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e iso-8859-6-i "
        "iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987"
    ),
    "iso-8859-7": (
        "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 iso_8859-7 "
        "iso_8859-7:1987 sun_eu_greek"
    ),
    "iso-8859-8": (
        "csiso88598e csiso88598i csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-8859-8-i iso-ir-138 iso8859-8 "
        "iso88598 iso_8859-8 iso_8859-8:1988 logical visual"
    ),
    "iso-8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso-8859-13": "iso-8859-13 iso8859-13 iso885913",
    "iso-8859-14": "iso-8859-14 iso8859-14 iso885914",
    "iso-8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "iso-8859-16": "iso-8859-16",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u": "koi8-ru koi8-u",
    "macintosh": "csmacintosh mac macintosh x-mac-roman",
    "windows-874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "windows-1250": "cp1250 windows-1250 x-cp1250",
    "windows-1251": "cp1251 windows-1251 x-cp1251",
    "windows-1252": (
        "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 "
        "iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252"
    ),
    "windows-1253": "cp1253 windows-1253 x-cp1253",
    "windows-1254": (
        "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5 "
        "windows-1254 x-cp1254"
    ),
    "windows-1255": "cp1255 windows-1255 x-cp1255",
    "windows-1256": "cp1256 windows-1256 x-cp1256",
    "windows-1257": "cp1257 windows-1257 x-cp1257",
    "windows-1258": "cp1258 windows-1258 x-cp1258",
    "x-mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "gbk": "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk",
    "gb18030": "gb18030",
    "big5": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc-jp": "cseucpkdfmtjapanese euc-jp x-euc-jp",
    "iso-2022-jp": "csiso2022jp iso-2022-jp",
    "shift_jis": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "euc-kr": (
        "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949"
    ),
    "utf-16be": "unicodefffe utf-16be",
    "utf-16le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
    "x-user-defined": "x-user-defined",
}
# Names in use that the standard leaves out, or reads as one replacement character because a page could abuse them.
_FURTHER_LABELS: Final = {
    "big5": "big5hkscs big5_hkscs cp950 windows-950 ms950 x-windows-950 big5-eten",
    "euc-jp": "eucjp euc_jp eucjp-ms eucjpms cp51932 x-eucjp ujis",
    "euc-kr": "cp949 ms949 uhc euckr euc_kr x-windows-949 ks_c_5601 ksc5601-1987 ks_c-5601-1987 ms-949",
    "gb18030": "gb18030-2000 gb18030-2022 cp54936",
    "gbk": "cp936 ms936 windows-936 x-cp936 euc-cn euccn gb2312-80 gb_2312-1980 x-euc-cn",
    "hz": "hz hz-gb-2312 hz-gb hzgb",
    "iso-2022-jp": (
        "iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 iso-2022-jp-2004 iso-2022-jp-ms iso2022jp iso2022-jp iso2022-jp-ms "
        "cp50220 cp50221 cp50222 csiso2022jp2 x-iso-2022-jp jis"
    ),
    "iso-2022-kr": "csiso2022kr iso-2022-kr iso2022kr",
    "koi8-u": "koi8u",
    "macintosh": "macroman mac-roman x-macroman x-macintosh",
    "shift_jis": "cp932 ms-932 windows-932 x-ms-cp932 cp943 cp943c ibm-943 shiftjis s-jis mskanji",
    "utf-7": "utf-7 utf7 unicode-1-1-utf-7 csunicode11utf7",
    "utf-8": "cp65001 utf-8-sig utf8mb4 utf_8 utf-8n",
    "utf-16be": "utf16be utf_16_be",
    "utf-16le": "utf16le utf16 utf_16 utf_16_le",
    "utf-32be": "utf-32be utf32be ucs-4be",
    "utf-32le": "utf-32 utf-32le utf32 utf32le ucs-4 iso-10646-ucs-4",
    "windows-874": "cp874 tis620 x-windows-874 tis620-2533 tis-620-2533",
    "windows-1252": ("latin-1 latin_1 iso-latin-1 iso_8859_1 iso8859_1 8859_1 ansi windows1252 win1252"),
    "windows-1254": "latin-5 windows1254",
    "windows-1250": "windows1250 win1250",
    "windows-1251": "windows1251 win1251 win-1251",
    "x-mac-cyrillic": "mac-cyrillic maccyrillic mac_cyrillic",
}


def find_encoding(label: str) -> str | None:
    """The encoding that a label names: one of the standard's names, or the name of a codec of Python; None: unknown."""
    name = label.strip("\t\n\f\r \"';").lower()
    if found := _by_label().get(name) or _python_codec(name):
        return found
    # As some programs write them: "ISO-8859-1//TRANSLIT", "windows 1252", "x-utf-8".
    plain = re.sub("[ _]", "-", name.partition("//")[0].strip()).removeprefix("x-")
    return (_by_label().get(plain) or _python_codec(plain)) if plain != name else None


@cache
def _by_label() -> dict[str, str]:
    further = {label: name for name, labels in _FURTHER_LABELS.items() for label in labels.split()}
    return further | {label: name for name, labels in _LABELS.items() for label in labels.split()}


@lru_cache(256)
def _python_codec(name: str) -> str | None:
    """A codec of Python for an encoding that the standard does not know, such as cp850 or mac-latin2."""
    import codecs

    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    # Codecs such as "hex" or "rot13" are not text encodings, and some of them decompress.
    if not getattr(info, "_is_text_encoding", True) or info.name in _NOT_OF_FILES:
        return None
    return _by_label().get(info.name) or _by_label().get(info.name.replace("_", "-")) or info.name


_NOT_OF_FILES: Final = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "palmos"}
)
