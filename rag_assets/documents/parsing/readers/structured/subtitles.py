"""Subtitles (SubRip, WebVTT, SubViewer, Advanced SubStation Alpha, TTML, SAMI, LRC) as running text without times."""

import html
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

_TIME: Final = r"(?:\d+:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?"
_TIMES: Final = re.compile(rf"[ \t]*{_TIME}[ \t]*(?:-->|,)[ \t]*{_TIME}(?:[ \t].*)?")
_HIDDEN_BLOCKS: Final = ("WEBVTT", "NOTE", "STYLE", "REGION", "X-TIMESTAMP-MAP", "Kind:", "Language:")
_VOICE: Final = re.compile(r"<v(?:\.[^ >]{0,100})?[ \t]+([^>\n]{1,200})>")
_TAG: Final = re.compile(
    r"</?[a-zA-Z][^<>\n]{0,200}>|<\d[\d:.]{4,20}>|\{\\[^{}\n]{0,500}\}|\{[YyFfSsCcPp]:[^{}\n]{0,100}\}"
)
_LRC_TIME: Final = re.compile(r"(?:\[\d{1,3}:\d{2}(?:[.:]\d{1,3})?\])+|<\d{1,3}:\d{2}(?:\.\d{1,3})?>")
_LRC_FIELD: Final = re.compile(r"\[(ti|ar|al|au|by|la|re|ve|length|offset|#):([^\]\n]*)\]")
# TTML's paragraphs end; what SAMI shows goes on until the next `<SYNC Start=1000>`.
_MARKED_UP: Final = re.compile(r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?<(?:(?:[a-z]+:)?tt\b|sami\b)", re.IGNORECASE)
_MARKED_CUE: Final = re.compile(
    r"<(?:[a-z]+:)?p(?=[\s>])[^>]{0,500}(?<!/)>((?:(?!<sync\b|<(?:[a-z]+:)?p[\s>]|</(?:[a-z]+:)?p>|</body).)*)",
    re.IGNORECASE | re.DOTALL,
)
_LINE_BREAK: Final = re.compile(r"<(?:[a-z]+:)?br\b[^>]{0,100}>", re.IGNORECASE)
_ASS_FIELD_COUNT: Final = 10
_SENTENCE_END: Final = re.compile(r"[.!?…。]['\"»”)\]♪]*$|♪$")
_SPEAKER: Final = re.compile(r"(?:[-\u2013\u2014]\s*|>>\s*|[^\W\d_][^:.!?]{0,40}:\s)\S")


def read_subtitles(text: str) -> str:
    """The words that are shown, a line a sentence or speaker; a line that one cue repeats from the last stands once."""
    lines: list[str] = []
    last = ""
    for shown in _shown_lines(text.lstrip("\ufeff")):
        line = " ".join(html.unescape(_TAG.sub("", _VOICE.sub(r"\1: ", shown))).split())
        # Captions that roll, such as YouTube's own, repeat the line above.
        if not line or line == last:
            continue
        last = line
        if lines and not _SENTENCE_END.search(lines[-1]) and not _SPEAKER.match(line):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return "\n".join(lines) + "\n" if lines else ""


def _shown_lines(text: str) -> Iterator[str]:
    if "[Events]" in text or re.match(r"\s*\[Script Info\]", text):
        return _substation_lines(text)
    if _MARKED_UP.match(text):
        return (" ".join(_LINE_BREAK.sub(" ", cue[1]).split()) for cue in _MARKED_CUE.finditer(text))
    if len(_LRC_TIME.findall(text[:4096])) > 1 and "-->" not in text[:4096]:
        return _lyrics_lines(text)
    return _cue_lines(text)


def _cue_lines(text: str) -> Iterator[str]:
    """The lines of cues: those after a line of times, up to an empty line or the number of the next cue."""
    lines = [*text.split("\n"), ""]
    in_cue = is_hidden = False
    above = ""
    for line, below in pairwise(lines):
        if not above.strip():  # A block begins, such as a cue or a note.
            is_hidden = line.startswith(_HIDDEN_BLOCKS)
        above = line
        if _TIMES.fullmatch(line):
            in_cue = True
        elif not line.strip():
            in_cue = False
        elif in_cue or not is_hidden:
            # The number or the name of the next cue; some files have no empty line between cues.
            is_label = _TIMES.fullmatch(below) and (not in_cue or line.strip().isdigit())
            if not is_label:
                yield line


def _substation_lines(text: str) -> Iterator[str]:
    columns: list[str] = []
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        if name == "Format":
            columns = [column.strip().lower() for column in value.split(",")]
        elif name == "Dialogue":
            fields = value.split(",", (len(columns) or _ASS_FIELD_COUNT) - 1)
            row = dict(zip(columns, fields, strict=False)) if columns else {}
            shown = re.sub(r"\\[Nnh]", " ", fields[-1])
            speaker = (row.get("name") or row.get("actor") or "").strip()
            yield f"{speaker}: {shown}" if speaker else shown


def _lyrics_lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if field := _LRC_FIELD.fullmatch(line.strip()):
            if field[1] in {"ti", "ar", "al", "au"}:
                yield f"{field[2].strip()}."
        else:
            yield _LRC_TIME.sub("", line)
