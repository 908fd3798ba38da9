"""The codes of number formats, taken apart: sections for positive, negative and zero, of tokens."""

import re
from collections.abc import Callable
from dataclasses import dataclass

Token = tuple[str, str]

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|(?P<skipped>[_*].)|\[\$(?P<currency>[^\]-]*)(?:-[^\]]*)?\]|'
    r"\[(?P<elapsed>[hms])+\]|\[(?P<condition>[<>=]+-?[\d.]+)\]|\[[^\]]*\]|(?P<general>General)|"
    r"(?P<half_day>AM/PM|A/P)|(?P<exponent>E[+-]0*)|(?P<date>y+|m+|d+|h+|s+(?:\.0+)?)|(?P<digit>[0#?])|(?P<plain>.)",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(r"([<>=]+)(-?[\d.]+)")


@dataclass(frozen=True, slots=True)
class FormatSection:
    """A part of a format between semicolons, as (kind, text) tokens."""

    tokens: tuple[Token, ...]
    condition: tuple[str, float] | None

    def holds(self, kind: str) -> bool:
        return any(one == kind for one, _ in self.tokens)


def parse_format(code: str) -> list[FormatSection]:
    return [_parse_section(part) for part in _split_code(code)]


def _split_code(code: str) -> list[str]:
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


def _parse_section(part: str) -> FormatSection:
    tokens: list[Token] = []
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
    return FormatSection(tuple(tokens), condition)


def choose_section(sections: list[FormatSection], value: float) -> tuple[FormatSection, float]:
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
