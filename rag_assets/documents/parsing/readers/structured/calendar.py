"""Calendars (RFC 5545): events and tasks as readable lines."""

import re
from collections.abc import Iterator

_SHOWN = {
    "SUMMARY": "Event",
    "DTSTART": "Start",
    "DTEND": "End",
    "DUE": "Due",
    "DURATION": "Duration",
    "RRULE": "Repeats",
    "LOCATION": "Location",
    "STATUS": "Status",
    "ORGANIZER": "Organizer",
    "ATTENDEE": "Attendee",
    "CATEGORIES": "Categories",
    "URL": "URL",
    "DESCRIPTION": "Description",
    "COMMENT": "Comment",
}
_COMPONENTS = {"VEVENT": "Event", "VTODO": "Task", "VJOURNAL": "Journal entry"}
_PROPERTY = re.compile(r"([A-Za-z0-9-]{1,100})((?:;[^:;\"=]{1,100}=(?:\"[^\"]*\"|[^:;\"]*))*):(.*)", re.DOTALL)
_PARAMETER = re.compile(r";([^:;\"=]+)=(?:\"([^\"]*)\"|([^:;\"]*))")
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?")
_ESCAPED = re.compile(r"\\([nN,;\\])")


def read_calendar(text: str) -> str:
    """One paragraph for each event or task; the text itself where it holds none."""
    paragraphs = list(_components(text))
    return "\n\n".join(paragraphs) + "\n" if paragraphs else text


def _components(text: str) -> Iterator[str]:
    inside: list[str] = []
    lines: dict[str, list[str]] = {}
    for line in re.sub(r"\r?\n[ \t]", "", text).splitlines():
        match = _PROPERTY.match(line)
        if match is None:
            continue
        name, parameters, value = match[1].upper(), _parameters(match[2]), match[3].strip()
        if name == "BEGIN":
            inside.append(value.upper())
            if inside[-1] in _COMPONENTS:
                lines = {}
        elif name == "END":
            ended = inside.pop() if inside else ""
            if ended in _COMPONENTS and lines:
                yield _paragraph(_COMPONENTS[ended], lines)
                lines = {}
        elif inside and inside[-1] in _COMPONENTS and name in _SHOWN and value:
            lines.setdefault(name, []).append(_value(name, parameters, value))
    # A calendar that is cut.
    if lines:
        yield _paragraph("Event", lines)


def _paragraph(kind: str, lines: dict[str, list[str]]) -> str:
    shown = []
    for name, label in _SHOWN.items():
        values = lines.get(name, [])
        if values:
            label = kind if name == "SUMMARY" else label
            shown.append(f"{label}{'s' if name == 'ATTENDEE' and len(values) > 1 else ''}: {', '.join(values)}")
    return "\n".join(shown)


def _parameters(text: str) -> dict[str, str]:
    return {match[1].upper(): match[2] or match[3] or "" for match in _PARAMETER.finditer(text)}


def _value(name: str, parameters: dict[str, str], value: str) -> str:
    if name in ("ORGANIZER", "ATTENDEE"):
        address = re.sub("^mailto:", "", value, flags=re.IGNORECASE)
        return f"{parameters['CN']} <{address}>" if parameters.get("CN") else address
    if match := _TIME.fullmatch(value):
        day = f"{match[1]}-{match[2]}-{match[3]}"
        zone = "UTC" if match[7] else parameters.get("TZID", "")
        return f"{day} {match[4]}:{match[5]} {zone}".rstrip() if match[4] else day
    return _ESCAPED.sub(lambda found: "\n" if found[1] in "nN" else found[1], value)
