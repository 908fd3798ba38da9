"""Scripts whose words the database indexes as pairs of letters (`rag.fold_characters`)."""

import re
import unicodedata
from itertools import pairwise

# Thai, Lao, Myanmar and Khmer with their marks; Chinese and Japanese; Hangul.
_THAI_TO_KHMER = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0edf\u1000-\u103f\u1050-\u1059\u1780-\u17d3\u17d7\u17dc\u17dd"
)
_MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u1056-\u1059\u17b6-\u17d3\u17dd"
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff"
_HIRAGANA = "\u3041-\u3096\u3099\u309a\u309d-\u309f\u3105-\u312f\u31a0-\u31bf"
_HANGUL = "\u1100-\u11ff\uac00-\ud7a3"
_ALL = f"{_THAI_TO_KHMER}{_HAN}{_KATAKANA}{_HIRAGANA}{_HANGUL}"

_RUN = re.compile(f"[{_ALL}]+")
# A letter with what is written on, below or after it.
_LETTER = re.compile(f"[{_ALL}](?:[\u17d2\u1039][{_ALL}]|[{_MARKS}\u3099\u309a])*")
# A run of one script is probably one word up to this length. Japanese sentences mix scripts, and Korean words have
# endings.
_WORDS = re.compile(f"[{_HAN}]{{3,4}}|[{_KATAKANA}]{{3,12}}|[{_THAI_TO_KHMER}]{{3,16}}")


def split_letters(run: str) -> list[str]:
    """The letters of a text in these scripts, each with its marks."""
    return _LETTER.findall(run)


def is_unspaced(lexeme: str) -> bool:
    return bool(_RUN.fullmatch(lexeme))


def is_letter(lexeme: str) -> bool:
    """Whether it is one letter of these scripts; other lexemes of theirs have two."""
    return bool(_LETTER.fullmatch(lexeme))


def is_pair(lexeme: str) -> bool:
    return bool(_RUN.fullmatch(lexeme)) and len(split_letters(lexeme)) == 2


def find_words(query: str) -> list[list[str]]:
    """The pairs of letters of each run in the query that is probably one word, so that it must occur as a whole."""
    runs = _RUN.findall(unicodedata.normalize("NFKC", query))
    letters = [split_letters(run) for run in runs if _WORDS.fullmatch(run)]
    return [[first + second for first, second in pairwise(one)] for one in letters if len(one) > 2]
