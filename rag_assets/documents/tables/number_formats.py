"""Numbers as a spreadsheet shows them: the number formats of Excel (ECMA-376, 18.8.30), in English."""

import re
from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Final

from rag_assets.documents.tables.date_formats import show_date
from rag_assets.documents.tables.format_code import FormatSection, Token, choose_section, parse_format

Formatter = Callable[[float], str]

# Those that depend on the reader's country are shown as ISO 8601 has them.
BUILT_IN: Final = {
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    5: "$#,##0;-$#,##0",
    6: "$#,##0;-$#,##0",
    7: "$#,##0.00;-$#,##0.00",
    8: "$#,##0.00;-$#,##0.00",
    9: "0%",
    10: "0.00%",
    11: "0.00E+00",
    12: "# ?/?",
    13: "# ??/??",
    **dict.fromkeys((14, 15, 30, 36, 50, 57), "yyyy-mm-dd"),
    16: "d-mmm",
    17: "mmm-yy",
    18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM",
    20: "h:mm",
    21: "h:mm:ss",
    22: "yyyy-mm-dd h:mm",
    **dict.fromkeys((27, 28, 29, 31, 51, 52, 53, 54, 55, 56, 58), "yyyy-mm-dd"),
    **dict.fromkeys((32, 33, 34, 35), "h:mm:ss"),
    37: "#,##0;(#,##0)",
    38: "#,##0;(#,##0)",
    39: "#,##0.00;(#,##0.00)",
    40: "#,##0.00;(#,##0.00)",
    41: "#,##0;(#,##0)",
    42: "$#,##0;($#,##0)",
    43: "#,##0.00;(#,##0.00)",
    44: "$#,##0.00;($#,##0.00)",
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss.0",
    48: "##0.0E+0",
}

_SIMPLE = re.compile(r'(?P<grouped>#,##)?0(?:\.(?P<decimals>0+))?(?P<percent>%)?(?P<space> )?(?:"(?P<unit>[^"]*)")?')
# Python rounds to the nearest number in binary, of which 0.125 has two: a little more makes it the upper one.
_HALF_UP = 1.000000000000001


@lru_cache(maxsize=1024)
def number_formatter(code: str, *, epoch_1904: bool = False) -> Formatter:
    """The function that writes a number as this format shows it; as a plain number where it is not understood."""
    sections = parse_format(code)
    if len(sections) == 1 and all(kind == "general" for kind, _ in sections[0].tokens):
        return general
    if len(sections) == 1 and (simple := _SIMPLE.fullmatch(code)):
        return _simple_formatter(simple)
    epoch = datetime(1904, 1, 1) if epoch_1904 else datetime(1899, 12, 30)  # noqa: DTZ001

    def write(value: float) -> str:
        try:
            section, shown = choose_section(sections, value)
            if section.holds("date") or section.holds("elapsed"):
                return show_date(section, value, epoch).strip()
            if section.holds("general"):
                return "".join(general(shown) if kind == "general" else text for kind, text in section.tokens).strip()
            return _number(section, shown).strip()
        except (ValueError, OverflowError, InvalidOperation, IndexError):
            return general(value)

    return write


def _simple_formatter(code: re.Match[str]) -> Formatter:
    """For formats such as `0.0%` and `#,##0.00 "EUR"`, of which a sheet may have a million cells."""
    factor = (100 if code["percent"] else 1) * _HALF_UP
    decimals, grouped = len(code["decimals"] or ""), "," if code["grouped"] else ""
    suffix = ("%" if code["percent"] else "") + ((code["space"] or "") + (code["unit"] or "")).rstrip()
    shown = f"{{:{grouped}.{decimals}f}}{suffix.replace('{', '{{').replace('}', '}}')}".format
    zero = shown(-0.0)

    def write(value: float) -> str:
        text = shown(value * factor)
        return text[1:] if text == zero else text

    return write


def general(value: float) -> str:
    """A number without a format: at most eleven digits, as in a cell of Excel, but a whole number in full."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.11g}" if abs(value) < 1e11 else f"{value:.15g}"


def _number(section: FormatSection, value: float) -> str:
    tokens = section.tokens
    places = [index for index, (kind, _) in enumerate(tokens) if kind == "digit"]
    if not places:
        return "".join(general(value) if kind == "@" else text for kind, text in tokens)
    sign = "-" if value < 0 else ""
    scaled = abs(Decimal(repr(float(value)))) * 100 ** sum(kind == "%" for kind, _ in tokens)
    last = places[-1]
    thousands = 0
    while last + 1 + thousands < len(tokens) and tokens[last + 1 + thousands][0] == ",":
        thousands += 1
    scaled /= 1000**thousands
    prefix = "".join(text for _, text in tokens[: places[0]])
    suffix = "".join(text for kind, text in tokens[last + 1 :] if kind != ",")
    body = tokens[places[0] : last + 1]
    kinds = [kind for kind, _ in body]
    if any(kind == "/" for kind, _ in tokens[places[0] :]):
        body, suffix = tokens[places[0] :], ""
        return f"{sign}{prefix}{_fraction(body, scaled)}{suffix}"
    if "exponent" in (kind for kind, _ in tokens):
        return f"{sign}{prefix}{_scientific(tokens, scaled)}"
    point = kinds.index(".") if "." in kinds else len(kinds)
    decimals = [text for kind, text in body[point + 1 :] if kind == "digit"]
    rounded = scaled.quantize(Decimal(1).scaleb(-len(decimals)), ROUND_HALF_UP)
    whole, _, rest = f"{rounded:f}".partition(".")
    while rest and decimals[len(rest) - 1] != "0" and rest[-1] == "0":
        rest = rest[:-1]
    shown = _whole(body[:point], whole)
    if not rounded:
        sign = ""
    return f"{sign}{prefix}{shown}{'.' + rest if rest else ''}{suffix}"


def _whole(body: tuple[Token, ...], digits: str) -> str:
    """The digits before the decimal point, in the places that the format has for them."""
    least = sum(text == "0" for kind, text in body if kind == "digit")
    digits = digits.lstrip("0").rjust(least, "0")
    if any(kind == "," for kind, _ in body):
        return f"{int(digits):,}" if digits and least <= len(digits.lstrip("0")) else digits
    if all(kind == "digit" for kind, _ in body):
        return digits
    # Signs between the places, as in a telephone number: fill the places from the right.
    parts: list[str] = []
    left = list(digits)
    for kind, text in reversed(body):
        if kind != "digit":
            parts.append(text)
        elif left:
            parts.append(left.pop())
    return "".join(left) + "".join(reversed(parts))


def _fraction(body: tuple[Token, ...], value: Decimal) -> str:
    slash = [kind for kind, _ in body].index("/")
    digits = sum(kind == "digit" for kind, _ in body[slash:])
    fixed = "".join(text for kind, text in body[slash + 1 :] if text.isdigit())
    whole_places = sum(kind == "digit" for kind, _ in body[:slash]) > digits or any(
        kind == "literal" for kind, _ in body[:slash]
    )
    whole = int(value) if whole_places else 0
    rest = Fraction(value - whole)
    if int(fixed or 0):
        part = Fraction(round(rest * int(fixed)), int(fixed))
        numerator, denominator = round(rest * int(fixed)), int(fixed)
    else:
        part = rest.limit_denominator(10**digits - 1)
        numerator, denominator = part.numerator, part.denominator
    if part == 1 or not numerator:
        return str(whole + int(part))
    return f"{whole} {numerator}/{denominator}" if whole else f"{numerator}/{denominator}"


def _scientific(tokens: tuple[Token, ...], value: Decimal) -> str:
    at = [kind for kind, _ in tokens].index("exponent")
    kinds = [kind for kind, _ in tokens[:at]]
    decimals = sum(kind == "digit" for kind in kinds[kinds.index(".") :]) if "." in kinds else 0
    mantissa, _, exponent = f"{value:.{decimals}E}".partition("E")
    sign, digits = exponent[0], exponent[1:]
    width = tokens[at][1].count("0") + sum(kind == "digit" for kind, _ in tokens[at + 1 :])
    shown_sign = sign if sign == "-" or tokens[at][1][1] == "+" else ""
    return f"{mantissa}E{shown_sign}{digits.rjust(width, '0')}"
