"""Where the chapters of a book begin in its text: the files of an EPUB, in the order of its spine."""

import html
import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote
from xml.etree import ElementTree

_LEFT_OUT = re.compile(r"<!--.*?-->|<(head|script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_MOST_CHAPTERS = 5_000
_MOST_BYTES = 64 * 1024 * 1024
# Letters that tell a chapter's beginning, and how far behind the last one it is looked for first.
_LENGTHS = (60, 20)


def chapter_starts(data: bytes, content: str) -> tuple[int, ...]:
    """The offset at which each chapter of an EPUB begins; empty where the book does not tell its chapters."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            chapters = list(_chapters(book))
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, OSError, ValueError, RuntimeError):
        # The text is read all the same.
        return ()
    # Only letters and digits are compared: the text of the book is Markdown.
    places = [index for index, character in enumerate(content) if character.isalnum()]
    letters = "".join(content[index] for index in places).lower()
    if len(letters) != len(places):
        return ()
    starts: list[int] = []
    at = 0
    for chapter in chapters:
        found = next((hit for length in _LENGTHS if (hit := letters.find(chapter[:length], at)) >= 0), -1)
        if not chapter or found < 0:
            continue
        starts.append(_line_start(content, places[found]))
        at = found + 1
    return (0, *starts[1:]) if len(starts) > 1 else ()


def _chapters(book: zipfile.ZipFile) -> Iterator[str]:
    """The letters and digits of each chapter's beginning."""
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
        plain = html.unescape(_LEFT_OUT.sub(" ", text[:200_000]))
        yield "".join(character for character in plain if character.isalnum())[: 2 * _LENGTHS[0]].lower()


def _read(book: zipfile.ZipFile, path: str, limit: int = _MOST_BYTES) -> bytes:
    with book.open(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path} is too large")
    return data


def _line_start(content: str, index: int) -> int:
    """The beginning of the line: marks of a heading belong to the chapter."""
    return content.rfind("\n", 0, index) + 1
