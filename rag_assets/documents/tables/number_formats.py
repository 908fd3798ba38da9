"""Numbers as a spreadsheet shows them: the number formats of Excel (ECMA-376, 18.8.30), in English."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Final

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

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|(?P<skipped>[_*].)|\[\$(?P<currency>[^\]-]*)(?:-[^\]]*)?\]|'
    r"\[(?P<elapsed>[hms])+\]|\[(?P<condition>[<>=]+-?[\d.]+)\]|\[[^\]]*\]|(?P<general>General)|"
    r"(?P<half_day>AM/PM|A/P)|(?P<exponent>E[+-]0*)|(?P<date>y+|m+|d+|h+|s+(?:\.0+)?)|(?P<digit>[0#?])|(?P<plain>.)",
    re.IGNORECASE | re.DOTALL,
)
_SIMPLE = re.compile(r'(?P<grouped>#,##)?0(?:\.(?P<decimals>0+))?(?P<percent>%)?(?P<space> )?(?:"(?P<unit>[^"]*)")?')
# Python rounds to the nearest number in binary, of which 0.125 has two: a little more makes it the upper one.
_HALF_UP = 1.000000000000001
_CONDITION = re.compile(r"([<>=]+)(-?[\d.]+)")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


@dataclass(frozen=True, slots=True)
class _Section:
    """A part of a format between semicolons, as (kind, text) tokens."""

    tokens: tuple[tuple[str, str], ...]
    condition: tuple[str, float] | None

    def holds(self, kind: str) -> bool:
        return any(one == kind for one, _ in self.tokens)


@lru_cache(maxsize=1024)
def number_formatter(code: str, *, epoch_1904: bool = False) -> Formatter:
    """The function that writes a number as this format shows it; as a plain number where it is not understood."""
    sections = [_parse(part) for part in _sections(code)]
    if len(sections) == 1 and all(kind == "general" for kind, _ in sections[0].tokens):
        return general
    if len(sections) == 1 and (simple := _SIMPLE.fullmatch(code)):
        return _simple_formatter(simple)
    epoch = datetime(1904, 1, 1) if epoch_1904 else datetime(1899, 12, 30)  # noqa: DTZ001

    def write(value: float) -> str:
        try:
            section, shown = _choose(sections, value)
            if section.holds("date") or section.holds("elapsed"):
                return _date(section, value, epoch).strip()
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


def is_date_format(code: str) -> bool:
    return any(section.holds("date") or section.holds("elapsed") for section in map(_parse, _sections(code)[:1]))


def _sections(code: str) -> list[str]:
    """The parts between semicolons that are neither quoted nor escaped; at most four."""
    parts, start, at, quoted = [], 0, 0, False
    while at < len(code):
        if code[at] == "\\" and not quoted:
            at += 1
        elif code[at] == '"':
            quoted = not quoted
        elif code[at] == ";" and not quoted:
            parts.append(code[start:at])
            start = at + 1
        at += 1
    return [*parts, code[start:]][:4]


def _parse(part: str) -> _Section:
    tokens: list[tuple[str, str]] = []
    condition = None
    for match in _TOKEN.finditer(part):
        kind, text = match.lastgroup, match[match.lastgroup or 0]
        match kind:
            case "condition":
                if found := _CONDITION.fullmatch(text):
                    condition = found[1], float(found[2])
            case "quoted" | "escaped" | "currency":
                tokens.append(("literal", text))
            case "skipped":
                tokens.append(("literal", " " if text[0] == "_" else ""))
            case "elapsed":
                tokens.append(("elapsed", match[0][1:-1].lower()))
            case "date":
                tokens.append(("date", text.lower()))
            case "plain":
                tokens.append((text if text in ".,%/@" else "literal", text))
            case None:
                pass  # A colour.
            case _:
                tokens.append((kind, text))
    if any(kind in {"date", "elapsed"} for kind, _ in tokens):
        tokens = [("literal", text) if kind in {".", ",", "%", "/"} else (kind, text) for kind, text in tokens]
    return _Section(tuple(tokens), condition)


def _choose(sections: list[_Section], value: float) -> tuple[_Section, float]:
    """The section for this value, and the value that it shows: a section for negative numbers shows no sign."""
    compare: dict[str, Callable[[float, float], bool]] = {
        "<": lambda a, b: a < b,
        ">": lambda a, b: a > b,
        "<=": lambda a, b: a <= b,
        ">=": lambda a, b: a >= b,
        "=": lambda a, b: a == b,
        "<>": lambda a, b: a != b,
    }
    if any(section.condition for section in sections):
        for section in sections[:3]:
            if section.condition is None or compare[section.condition[0]](value, section.condition[1]):
                return section, value
        return sections[0], value
    numeric = sections[:3]
    if value < 0 and len(numeric) > 1:
        return numeric[1], -value
    if value == 0 and len(numeric) > 2:
        return numeric[2], value
    return numeric[0], value


def _number(section: _Section, value: float) -> str:
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


def _whole(body: tuple[tuple[str, str], ...], digits: str) -> str:
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


def _fraction(body: tuple[tuple[str, str], ...], value: Decimal) -> str:
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


def _scientific(tokens: tuple[tuple[str, str], ...], value: Decimal) -> str:
    at = [kind for kind, _ in tokens].index("exponent")
    kinds = [kind for kind, _ in tokens[:at]]
    decimals = sum(kind == "digit" for kind in kinds[kinds.index(".") :]) if "." in kinds else 0
    mantissa, _, exponent = f"{value:.{decimals}E}".partition("E")
    sign, digits = exponent[0], exponent[1:]
    width = tokens[at][1].count("0") + sum(kind == "digit" for kind, _ in tokens[at + 1 :])
    shown_sign = sign if sign == "-" or tokens[at][1][1] == "+" else ""
    return f"{mantissa}E{shown_sign}{digits.rjust(width, '0')}"


def _date(section: _Section, value: float, epoch: datetime) -> str:
    if value < 0:
        raise ValueError("a date before the first")
    # Excel counts a 29 February 1900.
    days = value + 1 if epoch.year == 1899 and value < 60 else value
    decimals = max(
        (len(text) - text.index(".") - 1 for kind, text in section.tokens if "." in text and kind == "date"), default=0
    )
    at = epoch + timedelta(seconds=round(days * 86400, decimals or 0))
    elapsed = round(value * 86400)
    noon = section.holds("half_day")
    shown: list[str] = []
    tokens = section.tokens
    for index, (kind, text) in enumerate(tokens):
        if kind == "elapsed":
            amount = {"h": elapsed // 3600, "m": elapsed // 60, "s": elapsed}[text[0]]
            shown.append(str(amount).rjust(len(text), "0"))
        elif kind == "half_day":
            shown.append(("AM" if at.hour < 12 else "PM")[: 2 if len(text) > 3 else 1])
        elif kind == "date":
            shown.append(_date_part(text, at, is_minute=text[0] == "m" and _is_minute(tokens, index), noon=noon))
        else:
            shown.append("" if kind == "@" else text)
    return "".join(shown)


def _is_minute(tokens: tuple[tuple[str, str], ...], index: int) -> bool:
    """Whether an `m` means minutes: it stands after hours or before seconds."""
    before = next((text[0] for kind, text in reversed(tokens[:index]) if kind in {"date", "elapsed"}), "")
    after = next((text[0] for kind, text in tokens[index + 1 :] if kind in {"date", "elapsed"}), "")
    return len(tokens[index][1]) <= 2 and (before == "h" or after == "s")


def _date_part(text: str, at: datetime, *, is_minute: bool, noon: bool) -> str:
    letter, length = text[0], len(text)
    match letter:
        case "y":
            return f"{at.year:04}" if length > 2 else f"{at.year % 100:02}"
        case "m" if not is_minute:
            name = _MONTHS[at.month - 1]
            return {3: name[:3], 4: name, 5: name[0]}.get(length) or str(at.month).rjust(min(length, 2), "0")
        case "d":
            name = _DAYS[at.weekday()]
            return {3: name[:3], 4: name}.get(length) or str(at.day).rjust(min(length, 2), "0")
        case "h":
            return str((at.hour % 12 or 12) if noon else at.hour).rjust(min(length, 2), "0")
        case "s":
            width, _, decimals = text.partition(".")
            fraction = f"{at.microsecond:06}"[: len(decimals)]
            return str(at.second).rjust(min(len(width), 2), "0") + (f".{fraction}" if fraction else "")
    return str(at.minute).rjust(min(length, 2), "0")
