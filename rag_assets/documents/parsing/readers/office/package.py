"""The parts of an Office file (a ZIP package of XML), and the text in them."""

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from posixpath import dirname, join, normpath
from typing import Final

_RELATION: Final = re.compile(r"<Relationship\s[^>]*>")
# xberg needs none of these, and copying them takes time.
_WITHOUT_TEXT: Final = re.compile(
    r"/theme/|/printerSettings/|thumbnail|/(?:fontTable|webSettings|stylesWithEffects)\.xml"
)
ATTRIBUTE: Final = re.compile(r"([\w:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")


class PackageParts:
    def __init__(self, package: zipfile.ZipFile) -> None:
        self._package = package
        self.names = package.namelist()

    def text(self, name: str) -> str:
        return self._package.read(name).decode() if name in self.names else ""

    def related(self, name: str) -> "Iterator[tuple[str, str]]":
        """The kind and the name of each part that a part refers to."""
        folder = dirname(name)
        for match in _RELATION.finditer(self.text(join(folder, "_rels", f"{name.rpartition('/')[2]}.rels"))):
            found = {key: double or single for key, double, single in ATTRIBUTE.findall(match[0])}
            target = found.get("Target", "")
            if found.get("TargetMode") != "External" and target:
                path = target.removeprefix("/") if target.startswith("/") else normpath(join(folder, target))
                yield found.get("Type", "").rpartition("/")[2], path


def write_package(package: zipfile.ZipFile, changed: dict[str, str | None]) -> bytes:
    """A package with changed parts, and without those that are None."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as target:
        for name in package.namelist():
            new = changed.get(name, "")
            if new is not None and not _WITHOUT_TEXT.search(name):
                target.writestr(name, new or package.read(name))
    return written.getvalue()


def join_text(found: Iterable[re.Match[str]], text: Callable[[re.Match[str]], str | None], paragraph: int) -> str:
    """The text in XML, still escaped: what is text, and a space for anything else."""
    parts = (" " if match[paragraph] or text(match) is None else text(match) or "" for match in found)
    return " ".join("".join(parts).split())


def attribute(attributes: str, name: str) -> str:
    return next((double or single for key, double, single in ATTRIBUTE.findall(attributes) if key == name), "")
