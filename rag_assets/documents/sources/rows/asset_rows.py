"""Documents that a Dagster asset has made: a table of pandas, polars or pyarrow, or rows from an iterator."""

import hashlib
import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from rag_assets.documents.sources.base import SourceDocument, SourceFile, check_size
from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.sources.rows.values import id_to_path, to_json, to_text
from rag_assets.errors import DocumentError, SourceError, UsageError

ASSET_SCHEME = "dagster-asset:"
_BATCH_ROWS = 1_000


def is_asset_address(uri: str) -> bool:
    return uri.startswith(ASSET_SCHEME)


class AssetSource:
    """Rows with `id` and `text`; `metadata` (a mapping) and all other columns are metadata, `title` is the title too.

    The rows are kept in a temporary file while they are compared and read: an iterator runs once, and none of them
    has to be in memory. Each row's version is a hash of it.
    """

    def __init__(self, uri: str, rows: Any, selection: Selection, max_bytes: int | None = None) -> None:
        self.uri = uri
        self._shown = f"the asset {uri.removeprefix(ASSET_SCHEME)}"
        self._selection = selection
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        descriptor, self._file = tempfile.mkstemp(prefix="rag-rows-", suffix=".sqlite")
        os.close(descriptor)
        self._database = sqlite3.connect(self._file, check_same_thread=False)
        try:
            self._fill(rows)
        except BaseException:
            self.close()
            raise

    def list(self) -> Iterator[SourceFile]:
        after = ""
        while True:
            with self._lock:
                page = self._database.execute(
                    "SELECT path, version FROM rows WHERE path > ? ORDER BY path LIMIT ?", (after, _BATCH_ROWS)
                ).fetchall()
            for path, version in page:
                if self._selection.matches(path):
                    yield SourceFile(path, version, None)
            if len(page) < _BATCH_ROWS:
                return
            after = page[-1][0]

    def read(self, path: str) -> SourceDocument:
        with self._lock:
            found = self._database.execute("SELECT row FROM rows WHERE path = ?", (path,)).fetchone()
        if found is None:
            raise DocumentError(f"{path!r} is not an id of {self._shown}")
        text, title, metadata = json.loads(found[0])
        check_size(path, len(text), self._max_bytes)
        return SourceDocument(text, metadata, title, None if text.strip() else "the row's text is empty")

    def close(self) -> None:
        self._database.close()
        with suppress(FileNotFoundError):
            os.unlink(self._file)  # noqa: PTH108

    def _fill(self, rows: Any) -> None:
        self._database.execute("PRAGMA synchronous = off")
        self._database.execute("CREATE TABLE rows (path TEXT PRIMARY KEY, version TEXT, row TEXT) WITHOUT ROWID")
        for row in _iterate(rows, self._shown):
            if not isinstance(row, Mapping):
                raise UsageError(f"{self._shown} has a row of type {type(row).__name__}; rows are mappings")
            missing = next((name for name in ("id", "text") if name not in row), None)
            if missing is not None:
                raise UsageError(
                    f"{self._shown} has rows without {missing!r} (they have {', '.join(map(str, row))[:200]}); "
                    "rename its columns to id and text"
                )
            id_ = _plain(row["id"])
            if id_ is None:
                raise SourceError(f"{self._shown} has a row whose id is missing; give every row an id")
            path, content = id_to_path((id_,)), json.dumps(_document(row), ensure_ascii=True)
            version = hashlib.sha256(content.encode()).hexdigest()
            try:
                self._database.execute("INSERT INTO rows VALUES (?, ?, ?)", (path, version, content))
            except sqlite3.IntegrityError:
                raise SourceError(f"{self._shown} has two rows with the id {path!r}; ids must be unique") from None
        self._database.commit()


def _document(row: Mapping[Any, Any]) -> tuple[str, str | None, dict[str, Any]]:
    values = {str(name): _plain(value) for name, value in row.items() if name not in ("id", "text")}
    nested = values.pop("metadata", None)
    metadata = {name: to_json(value) for name, value in values.items()}
    if isinstance(nested, Mapping):
        metadata |= {str(name): to_json(_plain(value)) for name, value in nested.items()}
    elif nested is not None:
        metadata["metadata"] = to_json(nested)
    title = metadata.get("title")
    return to_text(_plain(row["text"])), title if isinstance(title, str) else None, metadata


def _plain(value: Any) -> Any:
    """A scalar of NumPy or pandas as Python's own; None for NaN, NaT and NA."""
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas"):
        if hasattr(value, "tolist"):
            value = value.tolist()
        elif type(value).__name__ in ("NaTType", "NAType"):
            return None
    return None if isinstance(value, float) and value != value else value


def _iterate(rows: Any, shown: str) -> Iterator[Any]:
    """The rows of a table of pandas, polars or pyarrow as mappings, a batch at a time; of an iterable as they are."""
    package = type(rows).__module__.partition(".")[0]
    if package == "pandas" and hasattr(rows, "columns"):
        names = [str(name) for name in rows.columns]
        yield from (dict(zip(names, values, strict=True)) for values in rows.itertuples(index=False, name=None))
    elif package == "polars" and hasattr(rows, "collect"):
        yield from rows.collect().iter_rows(named=True)
    elif package == "polars" and hasattr(rows, "iter_rows"):
        yield from rows.iter_rows(named=True)
    elif package == "pyarrow" and hasattr(rows, "to_batches"):
        for batch in rows.to_batches(max_chunksize=_BATCH_ROWS):
            yield from batch.to_pylist()
    elif package == "pyarrow" and hasattr(rows, "read_next_batch"):
        for batch in rows:
            yield from batch.to_pylist()
    elif isinstance(rows, Iterable) and not isinstance(rows, str | bytes | Mapping):
        yield from rows
    else:
        raise UsageError(
            f"{shown} is a {type(rows).__name__}; return a DataFrame of pandas or polars, a Table of pyarrow, or an "
            "iterator of rows with id and text"
        )
