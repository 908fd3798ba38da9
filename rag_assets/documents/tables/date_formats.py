"""Dates and times as a spreadsheet shows them, with the names of months and days in English."""

from datetime import datetime, timedelta

from rag_assets.documents.tables.format_code import FormatSection, Token

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


def show_date(section: FormatSection, value: float, epoch: datetime) -> str:
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


def _is_minute(tokens: tuple[Token, ...], index: int) -> bool:
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
