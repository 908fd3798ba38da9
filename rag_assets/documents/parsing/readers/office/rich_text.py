"""RTF: footnotes, comments and text boxes, which xberg leaves out, and text that was deleted, which it reads."""

import re
from typing import Final

_ASIDE: Final = re.compile(
    rb"\{(?:\\\*)?\\(?P<kind>footnote|annotation|shp)(?![a-z0-9])"
    rb"|\{(?:\\(?!deleted)[a-z]{1,30}-?\d{0,12} ?){0,30}\\(?P<deleted>deleted)(?![a-z0-9])"
    rb"|\\par(?![a-z0-9])"
)
_WORTH_A_LOOK: Final = (b"\\footnote", b"\\annotation", b"\\shptxt", b"\\deleted")
_PART: Final = re.compile(rb"\\bin(\d{1,9}) ?|\\[a-z]+|\\[^a-z]|[{}]", re.DOTALL)
_TEXT_BOX: Final = re.compile(rb"\{\\shptxt(?![a-z0-9])")
# The numbers of notes, and the ends of paragraphs.
_NUMBER: Final = re.compile(rb"\\(?:chftn|chatn)(?![a-z0-9]) ?")
_PARAGRAPH: Final = re.compile(rb"\\pard?(?![a-z0-9]) ?")
# xberg writes a no-break space as a tilde.
_NO_BREAK: Final = re.compile(rb"(?<!\\)\\~")
_LABELS: Final = {b"footnote": b"Footnote: ", b"annotation": b"Comment: "}


def complete_rtf(data: bytes) -> bytes:
    """The document with notes, comments and text boxes as paragraphs below the one that they stand in."""
    if b"\\~" in data:
        data = _NO_BREAK.sub(b"\\\\u160?", data)
    if not any(name in data for name in _WORTH_A_LOOK):
        return data
    pieces: list[bytes] = []
    waiting: list[bytes] = []
    at = 0
    while match := _ASIDE.search(data, at):
        if match["kind"] is None and match["deleted"] is None:
            pieces.append(data[at : match.end()])
            pieces += waiting
            waiting, at = [], match.end()
            continue
        end = _group_end(data, match.start())
        if end is None:
            return data
        pieces.append(data[at : match.start()])
        if match["kind"] == b"shp":
            box = _TEXT_BOX.search(data, match.start(), end)
            box_end = _group_end(data, box.start()) if box else None
            if box is None or box_end is None:
                pieces.append(data[match.start() : end])
            else:
                waiting.append(_paragraph(b"", data[box.end() : box_end - 1]))
        elif match["kind"]:
            waiting.append(_paragraph(_LABELS[match["kind"]], data[match.end() : end - 1]))
        at = end
    rest = data[at:]
    close = rest.rfind(b"}") if waiting else -1
    changed = b"".join([*pieces, rest[:close], b"\\par", *waiting, rest[close:]] if close >= 0 else [*pieces, rest])
    return _NUMBER.sub(b"", changed)


def _paragraph(label: bytes, text: bytes) -> bytes:
    return b"{" + label + _PARAGRAPH.sub(b" ", text) + b"\\par}"


def _group_end(data: bytes, start: int) -> int | None:
    """The place behind the brace that closes the group which begins here."""
    depth, at = 0, start
    while part := _PART.search(data, at):
        at = part.end() + int(part[1] or 0)
        if part[0] == b"{":
            depth += 1
        elif part[0] == b"}":
            depth -= 1
            if depth == 0:
                return at
    return None
