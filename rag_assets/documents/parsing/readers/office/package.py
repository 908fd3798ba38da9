"""The parts of an Office file (a ZIP package of XML), and the text in them."""

import re
from collections.abc import Callable, Iterable, Iterator
from posixpath import join, normpath
from typing import Final

from rag_assets.documents.parsing.readers.office.archive import Archive

_RELATION: Final = re.compile(r"<Relationship\s[^>]*>")
ATTRIBUTE: Final = re.compile(r"([\w:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")


class PackageParts:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.names = archive.names

    def content(self, name: str) -> bytes:
        return self._archive.read(name) if name in self._archive else b""

    def text(self, name: str) -> str:
        return self.content(name).decode()

    def related(self, name: str) -> "Iterator[tuple[str, str]]":
        """The kind and the name of each part that a part refers to."""
        folder, _, file = name.rpartition("/")
        for match in _RELATION.finditer(self.text(f"{folder}/_rels/{file}.rels" if folder else f"_rels/{file}.rels")):
            found = {key: double or single for key, double, single in ATTRIBUTE.findall(match[0])}
            target = found.get("Target", "")
            if found.get("TargetMode") != "External" and target:
                path = target.removeprefix("/") if target.startswith("/") else normpath(join(folder, target))
                yield found.get("Type", "").rpartition("/")[2], path


def join_text(found: Iterable[re.Match[str]], text: Callable[[re.Match[str]], str | None], paragraph: int) -> str:
    """The text in XML, still escaped: what is text, and a space for anything else."""
    parts = (" " if match[paragraph] or text(match) is None else text(match) or "" for match in found)
    return " ".join("".join(parts).split())


def attribute(attributes: str, name: str) -> str:
    return next((double or single for key, double, single in ATTRIBUTE.findall(attributes) if key == name), "")
