"""The text of one part of a mail as Markdown."""

import binascii
import contextlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise

_HEADING = re.compile(r"^(#{1,6})(?= )", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
# Markdown takes the line above for a heading.
_UNDERLINE = re.compile(r"\n(?:-+|=+)[ \t]*(?:\n|\Z)")
_HTML_TITLE = re.compile(r"<title[^>]*>.*?</title[^>]*>", re.IGNORECASE | re.DOTALL)
_HEAD_CHARS = 64 * 1024
_PGP = "-----BEGIN PGP "
_PGP_HEAD = re.compile(r"^-----BEGIN PGP SIGNED MESSAGE-----\n(?:Hash: [^\n]*\n)*\n?", re.MULTILINE)
_PGP_BLOCK = re.compile(
    r"^-----BEGIN PGP (MESSAGE|SIGNATURE)-----$.*?(?:^-----END PGP \1-----[ \t]*\n?|\Z)", re.MULTILINE | re.DOTALL
)
_UU_BEGINNING = "begin "
_UU_FILE = re.compile(
    r"^begin [0-7]{3,4} ([^\n]{1,200})\n((?:[!-`][ -`]{0,61}\n)+)[ `]?\n?end[ \t]*(?:\n|\Z)", re.MULTILINE
)
_WORD = re.compile(r"[^\W_]+")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,100}>")


def has_words(text: str) -> bool:
    """Whether there is anything to read; spaces of all kinds and invisible characters are nothing."""
    return any(character.isalnum() for character in text)


def count_words(text: str, most: int) -> int:
    return sum(1 for _ in islice(_WORD.finditer(text), most + 1))


def join_texts(texts: Iterable[str]) -> str:
    """The texts that have any, with an empty line between two."""
    return "\n\n".join(stripped for text in texts if (stripped := text.strip("\n")).strip())


def without_blocks(text: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Plain text without what is no text: signatures and encrypted blocks of PGP, and files in uuencode, by name."""
    if _PGP in text:
        text = _PGP_BLOCK.sub("", _PGP_HEAD.sub("", text))
    files: list[tuple[str, bytes]] = []
    pieces, end = [], 0
    for at in _find_lines(text, _UU_BEGINNING):
        if at >= end and (match := _UU_FILE.match(text, at)):
            files.append((match[1].strip(), _decode_uu(match[2])))
            pieces.append(text[end:at])
            end = match.end()
    return "".join([*pieces, text[end:]]), files


def _find_lines(text: str, beginning: str) -> Iterator[int]:
    """Where lines begin with this: a pattern that is tried at each line would take most of the time of a mail."""
    if text.startswith(beginning):
        yield 0
    at = text.find("\n" + beginning)
    while at >= 0:
        yield at + 1
        at = text.find("\n" + beginning, at + 1)


def _decode_uu(lines: str) -> bytes:
    decoded = b""
    for line in lines.encode("ascii", "replace").splitlines():
        with contextlib.suppress(binascii.Error):
            decoded += binascii.a2b_uu(line)
    return decoded


def plain_text(text: str) -> str:
    lines = (at for sign in "-=" for at in _find_lines(text, sign))
    places = [at - 1 for at in lines if at > 1 and text[at - 2] != "\n" and _UNDERLINE.match(text, at - 1)]
    pieces = [text[start:end] for start, end in pairwise([0, *sorted(places), len(text)])]
    return "\n".join(pieces)


def html_text(text: str, level: int) -> str:
    """The Markdown of a page, with its headings below that of its mail."""
    from rag_assets.documents.parsing.readers.html_to_markdown import html_to_markdown

    head, rest = text[:_HEAD_CHARS], text[_HEAD_CHARS:]
    return _below(html_to_markdown(_HTML_TITLE.sub("", head, count=1) + rest), level)


def rich_text(text: str, data: bytes) -> str:
    if data.lstrip().startswith(b"{\\rtf"):
        from rag_assets.documents.parsing.readers.xberg import convert_to_markdown

        return convert_to_markdown(data.strip(), "application/rtf").content
    # text/enriched: tags, and "<<" for a single bracket.
    return "<".join(_TAG.sub("", piece) for piece in text.split("<<"))


def _below(markdown: str, level: int) -> str:
    """The text with its headings below the heading of its mail."""
    pieces = list(_split_at_fences(markdown))
    levels = [len(match[1]) for piece, fenced in pieces if not fenced for match in _HEADING.finditer(piece)]
    shift = level + 1 - min(levels, default=level + 1)
    if shift <= 0:
        return markdown

    def lower(match: "re.Match[str]") -> str:
        return "#" * min(6, len(match[1]) + shift)

    return "".join(piece if fenced else _HEADING.sub(lower, piece) for piece, fenced in pieces)


def _split_at_fences(markdown: str) -> Iterator[tuple[str, bool]]:
    at = 0
    for match in _FENCE.finditer(markdown):
        yield markdown[at : match.start()], False
        yield match[0], True
        at = match.end()
    yield markdown[at:], False
