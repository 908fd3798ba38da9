"""Where the tables of the Encoding Standard (WHATWG) and those of Python's codecs differ.

Made by comparing each sequence of each encoding with what a browser's TextDecoder gives. A sequence of bytes is written
with the characters U+0000 to U+00FF.
"""

from typing import Final

# The codec of Python, and the bytes that it reads otherwise. Where Windows' code pages have nothing, the standard has
# control characters: a rule in `decoders`.
SINGLE_BYTE: Final[dict[str, tuple[str, dict[int, str]]]] = {
    "ibm866": ("cp866", {}),
    **{f"iso-8859-{part}": (f"iso8859_{part}", {}) for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    "koi8-r": ("koi8_r", {}),
    "koi8-u": ("koi8_u", {0xAE: "\u045e", 0xBE: "\u040e"}),
    "macintosh": ("mac_roman", {}),
    "windows-874": ("cp874", {}),
    **{f"windows-{page}": (f"cp{page}", {}) for page in (1250, 1251, 1252, 1253, 1254, 1256, 1257, 1258)},
    "windows-1255": ("cp1255", {0xCA: "\u05ba"}),
    "x-mac-cyrillic": ("mac_cyrillic", {}),
}

# The codec has characters of a private area where GB 18030 of 2022 has these.
GB18030: Final = {
    "\xa3\xa0": "\u3000",
    "\xa6\xd9": "\ufe10",
    "\xa6\xda": "\ufe12",
    "\xa6\xdb": "\ufe11",
    "\xa6\xdc": "\ufe13",
    "\xa6\xdd": "\ufe14",
    "\xa6\xde": "\ufe15",
    "\xa6\xdf": "\ufe16",
    "\xa6\xec": "\ufe17",
    "\xa6\xed": "\ufe18",
    "\xa6\xf3": "\ufe19",
    "\xa8\xbc": "\u1e3f",
    "\xfe\x59": "\u9fb4",
    "\xfe\x61": "\u9fb5",
    "\xfe\x66": "\u9fb6",
    "\xfe\x67": "\u9fb7",
    "\xfe\x6d": "\u9fb8",
    "\xfe\x7e": "\u9fb9",
    "\xfe\x90": "\u9fba",
    "\xfe\xa0": "\u9fbb",
    "\x81\x35\xf4\x37": "\ue7c7",
    "\x80": "\u20ac",
}

# Characters of HKSCS 2008 and of ETEN's extension that the codec lacks: a sequence and the characters from there on.
_BIG5_RUNS: Final = (
    "877a㡵𡵓𣚞𦀡㻬 87a1𥣞㫵竼龗𤅡𨤍𣇪𠪊𣉞䌊蒄龖鐯䤰蘓墖靊鈘秐稲晠権袝瑌篅枂稬剏遆㓦 "
    "87bf珄𥶹瓆鿇垳䤯呌䄱𣚎堘穲𧭥讏䚮𦺈䆁𥶙箮𢒼鿈𢓁𢓉𢓌鿉蔄𣖻䂴鿊䓡𪷿 87dd拁灮鿋 8e69箸 8e6f簆 8e7e糎 "
    "8eab緒 8eb4縝 8ecd者 8ed0耨 8f57菁 8f69蒨 8f6e萏 8fcb覦覩 8ffe起 906d都 907a銹 90dc靜 90f1響 91bf鼖 "
    "9244蔃 92af兙兛兝兞 92c8鍮 92d1瑹 9447浧 94ca禛 95d9邗 9644靝 96ed瀞 96fc嬨 9b76爁 9b78矗 9b7b纇 "
    "9bc6駖 9bde釔 9bec惞 9bf6澶 9c42輶 9c53侻 9c62營 9c68鄄 9c6b鷰 9c77菏 9cbc尐秣 9cd0婧 9d57輋 9d5a筑 "
    "9dc4拐 9ea9恢 9eef痹 9efd汊 9f60鬮 9f66鼗 9fcb僭 9fd8弌 a063蠏 a077拎 a0d5瑨 a0df煢 a0e4牐 "
    "a3c0␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝ a3de␞␟␡€ c6cf廴 c6d3无 c6d5癶 c6d7隶 c6de〃仝 fa5f倩 fa66偽 "
    "fabd包 fac5卄 fad5卿 fb48嘅 fbb8婷 fbf3幵 fbf9廐 fc4f彘 fc6c悤 fcb9撐 fce2晴 fcf1杞 fdb7沜渝 fdbb港 "
    "fdf1煮 fe52猪 fe6f瑜 feaa瓩 fedd砉"
)
BIG5: Final = {
    "\xa1\x45": "\u2027",
    "\xa1\x4e": "\ufe51",
    "\xa1\xc2": "\u00af",
    "\xa1\xe3": "\uff5e",
    "\xa1\xf2": "\u2295",
    "\xa1\xf3": "\u2299",
    "\xa2\x41": "\u2215",
    "\xa2\x42": "\ufe68",
    "\xa2\x44": "\uffe5",
    "\xa2\x46": "\uffe0",
    "\xa2\x47": "\uffe1",
    **{
        chr(int(run[:2], 16)) + chr(int(run[2:4], 16) + index): character
        for run in _BIG5_RUNS.split()
        for index, character in enumerate(run[4:])
    },
}

# The codec of EUC-JP reads these as the standards of JIS do, Windows and the web as wide characters.
EUC_JP: Final = {
    "\xa1\xc1": "\uff5e",
    "\xa1\xc2": "\u2225",
    "\xa1\xdd": "\uff0d",
    "\xa1\xf1": "\uffe0",
    "\xa1\xf2": "\uffe1",
    "\xa2\xcc": "\uffe2",
    "\x8f\xa2\xb7": "\uff5e",
}

# Bytes that Windows' codec of Python takes for characters of a private area.
SHIFT_JIS: Final = dict.fromkeys("\xa0\xfd\xfe\xff", "\ufffd")
