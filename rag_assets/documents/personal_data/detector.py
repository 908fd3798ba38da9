"""Find e-mail addresses, telephone numbers, bank accounts and payment cards in a text.

Patterns find candidates; phonenumbers and python-stdnum, which know numbering plans and check digits, decide.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rag_assets.settings.personal_data import KINDS_OF_DATA

# Whatever finds other texts, or redacts in another way, raises it: documents are read again.
DETECTOR_VERSION = 1

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")
# Letters and digits in groups; an account has 15 to 34.
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\d-])(?:\d[ -]?){12,18}\d(?![\d-])")
# With a country's prefix, or as numbers of a region are written.
_PHONE = re.compile(r"(?<![\w+])(?:\+|00|\(?0)[\d(][\d ()/.-]{5,22}\d(?!\w)")
_NATIONAL_PHONE = re.compile(r"(?<![\w+.])(?:\+|\()?\d[\d ()/.-]{5,22}\d(?![\w.]?\d)")


class PersonalDatum(NamedTuple):
    kind: str
    start: int
    end: int


def find_personal_data(
    text: str, kinds: Sequence[str] = KINDS_OF_DATA, region: str | None = None
) -> list[PersonalDatum]:
    """In the order of the text, without overlaps. `region`: a country whose national numbers count, like DE."""
    found: list[PersonalDatum] = []
    for kind in KINDS_OF_DATA:
        if kind in kinds:
            found += (PersonalDatum(kind, start, end) for start, end in _find(kind, text, region))
    # Of two that overlap, the one that begins first and is longer.
    found.sort(key=lambda one: (one.start, -one.end))
    apart: list[PersonalDatum] = []
    for one in found:
        if not apart or one.start >= apart[-1].end:
            apart.append(one)
    return apart


def _find(kind: str, text: str, region: str | None) -> Iterator[tuple[int, int]]:
    match kind:
        case "email":
            if "@" in text:
                yield from (match.span() for match in _EMAIL.finditer(text))
        case "iban":
            from stdnum import iban

            for match in _IBAN.finditer(text):
                yield from _longest_valid(match, iban.is_valid)
        case "card":
            from stdnum import luhn

            for match in _CARD.finditer(text):
                digits = re.sub(r"\D", "", match[0])
                # 0000 0000 0000 0000 has right check digits, too.
                if digits[0] in "23456" and luhn.is_valid(digits) and len(set(digits)) > 1:
                    yield match.span()
        case _:
            for match in (_PHONE if region is None else _NATIONAL_PHONE).finditer(text):
                if _is_phone(match[0], region):
                    yield match.span()


def _longest_valid(match: re.Match[str], is_valid: object) -> Iterator[tuple[int, int]]:
    """An account may be followed by a word in capital letters, which the pattern takes for a part of it."""
    candidate = match[0]
    assert callable(is_valid)
    while len(candidate) >= 15:
        if is_valid(candidate.replace(" ", "").replace("-", "")):
            yield match.start(), match.start() + len(candidate)
            return
        shorter = candidate.rpartition(" ")[0]
        candidate = shorter


def _is_phone(candidate: str, region: str | None) -> bool:
    import phonenumbers

    number = "+" + candidate[2:] if candidate.startswith("00") else candidate
    if region is None and not number.startswith("+"):
        return False
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False
