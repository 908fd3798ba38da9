"""Folders on web servers: a page's links to pages below it, as fsspec finds them."""

import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from rag_assets.documents.sources.base import escape_name, unescape_name
from rag_assets.documents.sources.globs import Selection


def list_pages(fs: Any, root: str, selection: Selection) -> Iterator[tuple[str, dict[str, Any]]]:
    """The selected pages below `root`, sorted, each with its path and the information that fsspec has of it."""
    paths = sorted(_find_pages(fs, root, selection))

    # A page of links has neither sizes nor versions. Asking for them costs less than reading every page each time.
    def info(path: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = fs.info(page_url(root, path))
        except Exception:
            return {}  # The page is listed; reading it gives the reason.
        return found

    with ThreadPoolExecutor(8) as pool:
        yield from zip(paths, pool.map(info, paths), strict=True)


def page_url(root: str, path: str) -> str:
    return root + quote(unescape_name(path), errors="surrogateescape")


def page_name(address: str) -> str:
    name = urlsplit(address).path.rpartition("/")[2]
    return _to_path(name) if name else "index.html"


def _find_pages(fs: Any, root: str, selection: Selection) -> set[str]:
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
            target = _normalize_link(link)
            if target is None or not target.startswith(root) or target in seen:
                continue
            seen.add(target)
            path = _to_path(target.removeprefix(root))
            if not target.endswith("/"):
                if selection.includes_path(path):
                    found.add(path)
            elif selection.includes_folder(path.rstrip("/"), path.rstrip("/").rpartition("/")[2]):
                pending.append(target)
    return found


def _normalize_link(link: str) -> str | None:
    """The link without `.` and `..`, which give a page many names; None for sorted views (`?C=N`) and fragments."""
    parts = urlsplit(link)
    if parts.query or parts.fragment or link.endswith(("?", "#")):
        return None
    path = posixpath.normpath(parts.path or "/")
    if parts.path.endswith("/") and not path.endswith("/"):
        path += "/"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _to_path(quoted: str) -> str:
    return escape_name(unquote(quoted, errors="surrogateescape"))
