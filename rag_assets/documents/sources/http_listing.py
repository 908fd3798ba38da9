"""Folders of web servers: the links that a page has to what is below it, as fsspec finds them."""

import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from rag_assets.documents.sources.base import from_text, to_text
from rag_assets.documents.sources.globs import Selection


def listing(fs: Any, root: str, selection: Selection) -> Iterator[tuple[str, dict[str, Any]]]:
    paths = sorted(_paths(fs, root, selection))

    # A page of links has neither sizes nor versions; asking for them is cheaper than reading everything each
    # time.
    def info(path: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = fs.info(url(root, path))
        except Exception:
            return {}  # It is listed, and reading it will give the reason.
        return found

    with ThreadPoolExecutor(8) as pool:
        yield from zip(paths, pool.map(info, paths), strict=True)


def url(root: str, path: str) -> str:
    return root + quote(from_text(path), errors="surrogateescape")


def file_name(address: str) -> str:
    name = urlsplit(address).path.rpartition("/")[2]
    return _readable(name) if name else "index.html"


def _paths(fs: Any, root: str, selection: Selection) -> set[str]:
    found: set[str] = set()
    seen = {root}
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            links = fs.ls(folder, detail=False)
        except FileNotFoundError:
            if folder == root:
                raise
            continue  # A dead link.
        for link in links:
            target = _normal(link)
            if target is None or not target.startswith(root) or target in seen:
                continue
            seen.add(target)
            path = _readable(target.removeprefix(root))
            if not target.endswith("/"):
                if selection.takes_below(path):
                    found.add(path)
            elif selection.enters(path.rstrip("/"), path.rstrip("/").rpartition("/")[2]):
                pending.append(target)
    return found


def _normal(link: str) -> str | None:
    """Without `.` and `..`, which make one page many; None for sorted views (`?C=N`) and places in a page."""
    parts = urlsplit(link)
    if parts.query or parts.fragment or link.endswith(("?", "#")):
        return None
    path = posixpath.normpath(parts.path or "/")
    if parts.path.endswith("/") and not path.endswith("/"):
        path += "/"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _readable(path: str) -> str:
    return to_text(unquote(path, errors="surrogateescape"))
