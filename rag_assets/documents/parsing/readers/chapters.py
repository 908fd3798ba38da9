"""Where the chapters of a book begin in its text: the files of an EPUB, in the order of its spine."""

import html
import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote
from xml.etree import ElementTree

_LEFT_OUT = re.compile(r"<!--.*?-->|<(head|script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_MOST_CHAPTERS = 5_000
_MOST_BYTES = 64 * 1024 * 1024
_MOST_CHARS = (800, 50_000)
# First words of a chapter that are looked for.
_COUNTS = (5, 3)
_WORD = re.compile(r"[^\W_]+")
_BETWEEN = r"[\W_]+"


def chapter_starts(data: bytes, content: str) -> tuple[int, ...]:
    """The offset at which each chapter of an EPUB begins; empty where the book does not tell its chapters."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            chapters = list(_chapters(book))
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, OSError, ValueError, RuntimeError):
        # The text is read all the same.
        return ()
    starts: list[int] = []
    at = 0
    for words in chapters:
        # Between the words of the book stand the marks of Markdown.
        patterns = (re.compile(_BETWEEN.join(map(re.escape, words[:count]))) for count in _COUNTS)
        match = next((hit for pattern in patterns if (hit := pattern.search(content, at))), None) if words else None
        if match is not None:
            starts.append(_line_start(content, match.start()))
            at = match.end()
    return (0, *starts[1:]) if len(starts) > 1 else ()


def _chapters(book: zipfile.ZipFile) -> Iterator[list[str]]:
    """The first words of each chapter."""
    container = ElementTree.fromstring(_read(book, "META-INF/container.xml"))  # noqa: S314
    package_path = next(one.attrib["full-path"] for one in container.iter() if one.tag.rpartition("}")[2] == "rootfile")
    package = ElementTree.fromstring(_read(book, package_path))  # noqa: S314
    files, spine = {}, []
    for one in package.iter():
        name = one.tag.rpartition("}")[2]
        if name == "item" and "nav" not in one.attrib.get("properties", "").split():
            files[one.attrib.get("id", "")] = one.attrib.get("href", "")
        elif name == "itemref" and one.attrib.get("linear") != "no":
            spine.append(one.attrib.get("idref", ""))
    left = _MOST_BYTES
    for reference in spine[:_MOST_CHAPTERS]:
        if reference not in files:
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(package_path), unquote(files[reference])))
        text = _read(book, path, left).decode("utf-8", "replace")
        left -= len(text)
        body = text[max(0, text.find("<body")) :]
        words: list[str] = []
        for most in _MOST_CHARS:
            plain = html.unescape(_LEFT_OUT.sub(" ", body[:most]))
            words = [match[0] for match in islice(_WORD.finditer(plain), _COUNTS[0])]
            if len(words) == _COUNTS[0] or len(body) <= most:
                break
        yield words


def _read(book: zipfile.ZipFile, path: str, limit: int = _MOST_BYTES) -> bytes:
    with book.open(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path} is too large")
    return data


def _line_start(content: str, index: int) -> int:
    """The beginning of the line: marks of a heading belong to the chapter."""
    return content.rfind("\n", 0, index) + 1
