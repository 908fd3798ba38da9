"""Documents that are rows: listed in pages by id with a server-side cursor, and read ahead in the same order."""

import hashlib
import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_assets.documents.sources.base import SourceDocument, SourceFile, check_size
from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.sources.rows.address import RowAddress, parse_row_address
from rag_assets.documents.sources.rows.passwords import find_password, password_variable
from rag_assets.documents.sources.rows.table import RowTable
from rag_assets.documents.sources.rows.values import (
    id_to_path,
    id_type,
    path_to_id,
    to_json,
    to_metadata,
    to_text,
    to_version,
)
from rag_assets.errors import DocumentError, SourceError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

# One statement lists so many rows: a long transaction in somebody's database would keep its dead rows.
PAGE_ROWS = 10_000
MOST_ROWS_AHEAD = 256
MOST_BYTES_AHEAD = 8_000_000


def open_rows(
    uri: str,
    selection: Selection,
    max_bytes: int | None = None,
    *,
    state_dir: Path,
    project: str | None = None,
    password: str | None = None,
) -> "RowSource":
    """Connect, and find the table and its columns. Raises SourceError for what is not there."""
    address = parse_row_address(uri)
    known = password or find_password(address, project, state_dir)
    variable = password_variable(project) if project else "RAG_ASSETS_SOURCE_<PROJECT>_PASSWORD"
    advice = f"give it once to `rag-assets ingest` (user:password@host), which keeps it apart, or set {variable}"
    return RowSource(address, selection, max_bytes, RowTable(address, known, advice))


class RowSource:
    """One document for each row; its path is the row's id. Reads nothing that its version says is unchanged."""

    def __init__(self, address: RowAddress, selection: Selection, max_bytes: int | None, table: RowTable) -> None:
        self.uri = address.uri
        self._address = address
        self._selection = selection
        self._max_bytes = max_bytes
        self._table = table
        self._types: tuple[type, ...] | None = None
        # Of the address, worked out once and not for each row.
        self._fingerprint = address.content_fingerprint
        self._template = address.template
        self._lock = threading.Lock()
        self._ahead: dict[str, SourceDocument] = {}
        self._window = 1
        self._used = 0

    @property
    def vector_type(self) -> str | None:
        return self._table.vector_type()

    def list(self) -> Iterator[SourceFile]:
        with self._table.connect() as connection:
            if connection.execute(self._table.without_id()).first() is not None:
                raise SourceError(
                    f"{self._address.shown} has rows whose id is NULL; choose another column, or a query without them"
                )
        last: tuple[Any, ...] | None = None
        while True:
            files, last, is_end = self._list_page(last)
            yield from (file for file in files if self._selection.matches(file.path))
            if is_end:
                return

    def _list_page(self, after: tuple[Any, ...] | None) -> "tuple[Sequence[SourceFile], tuple[Any, ...] | None, bool]":
        """The next rows, the id of the last one, and whether it is the last of all.

        The last row of the page before is read again: rows of the same id must not hide behind it.
        """
        table, last, found = self._table, after, 0
        files: deque[SourceFile] = deque()
        hashed = table.row_hash() if table.version is None else None
        statement = table.select(*table.ids, *self._version_columns(hashed)).order_by(*table.ids)
        if after is not None:
            statement = statement.where(table.from_id(after))
        with table.rows(statement.limit(PAGE_ROWS + 1)) as rows:
            for row in rows:
                ids = tuple(row[: len(table.ids)])
                found += 1
                if found == 1 and ids == after:
                    continue
                if ids == last:
                    raise SourceError(
                        f"{self._address.shown} has two rows with the id {id_to_path(ids)!r}; "
                        "choose columns that are unique as id"
                    )
                last = ids
                self._check_types(ids)
                files.append(SourceFile(id_to_path(ids), self._version(row[len(ids) :], hashed is not None), None))
        return files, last, found <= PAGE_ROWS

    def read(self, path: str) -> SourceDocument:
        with self._lock:
            document = self._ahead.pop(path, None)
            if document is None:
                document = self._fetch(path)
            else:
                self._used += 1
        size = len(document.content)
        check_size(path, size, self._max_bytes)
        return document

    def read_vectors(self, paths: Sequence[str]) -> dict[str, tuple[SourceDocument, Any]]:
        """The documents of these rows with their vectors, as the database gives them; rows without one are left out."""
        assert self._table.vector is not None
        types = self._id_types()
        chosen = []
        for path in paths:
            try:
                chosen.append(path_to_id(path, types))
            except ValueError:
                continue
        if not chosen:
            return {}
        columns = (*self._document_columns(), self._table.vector)
        statement = self._table.select(*columns).where(self._table.in_ids(chosen), self._table.vector.is_not(None))
        found = {}
        with self._table.rows(statement) as rows:
            for row in rows:
                path = id_to_path(tuple(row[: len(self._table.ids)]))
                found[path] = self._to_document(row[:-1]), row[-1]
        return found

    def close(self) -> None:
        self._table.close()

    def _fetch(self, path: str) -> SourceDocument:
        """Read the row, and rows after it as long as those of the last time were asked for: a run reads in order."""
        if self._used >= self._window - 1:
            self._window = min(2 * self._window, MOST_ROWS_AHEAD)
        elif self._used < self._window // 2:
            self._window = max(1, self._window // 4)
        self._used = 0
        try:
            ids = path_to_id(path, self._id_types())
        except ValueError:
            raise DocumentError(f"{path!r} is not an id of {self._address.shown}") from None
        statement = self._table.select(*self._document_columns())
        if self._window > 1:
            statement = statement.where(self._table.from_id(ids)).order_by(*self._table.ids).limit(self._window)
        else:
            statement = statement.where(self._table.has_id(ids))
        ahead: dict[str, SourceDocument] = {}
        size = 0
        with self._table.rows(statement, few=self._window <= 2) as rows:
            for row in rows:
                document = self._to_document(row)
                ahead[id_to_path(tuple(row[: len(ids)]))] = document
                size += len(document.content)
                if size > MOST_BYTES_AHEAD:
                    break
        found = ahead.pop(path, None)
        # Threads may ask for what the page before had, a moment later.
        kept = self._ahead if len(self._ahead) < MOST_ROWS_AHEAD and size < MOST_BYTES_AHEAD else {}
        self._ahead = kept | ahead
        if found is None:
            raise DocumentError(f"the row {path!r} was deleted while {self._address.shown} was read")
        return found

    def _id_types(self) -> tuple[type, ...]:
        if self._types is None:
            with self._table.connect() as connection:
                first = connection.execute(self._table.select(*self._table.ids).limit(1)).first()
            self._types = tuple(map(id_type, first)) if first is not None else (str,) * len(self._table.ids)
        return self._types

    def _check_types(self, ids: Sequence[Any]) -> None:
        types = tuple(map(id_type, ids))
        if self._types is None:
            self._types = types
        elif types != self._types:
            raise SourceError(
                f"{self._address.shown} has ids of several types, such as {id_to_path(tuple(ids))!r}; "
                "choose another column, or cast it in a query"
            )

    def _version_columns(self, hashed: "ColumnElement[Any] | None") -> "Sequence[ColumnElement[Any]]":
        if self._table.version is not None:
            return [self._table.version]
        if hashed is not None:
            return [hashed]
        return [*self._table.contents.values(), *self._table.metadata.values()]

    def _version(self, values: Sequence[Any], is_hashed: bool) -> str:
        if self._table.version is not None or is_hashed:
            version = to_version(values[0])
        else:
            row = json.dumps([to_json(value) for value in values], ensure_ascii=False)
            version = hashlib.sha256(row.encode(errors="surrogatepass")).hexdigest()
        # Other columns make another document of a row that has not changed.
        return f"{version}-{self._fingerprint}" if version else ""

    def _document_columns(self) -> "Sequence[ColumnElement[Any]]":
        return [*self._table.ids, *self._table.contents.values(), *self._table.metadata.values()]

    def _to_document(self, row: Sequence[Any]) -> SourceDocument:
        first = len(self._table.ids)
        middle = first + len(self._table.contents)
        contents = dict(zip(self._table.contents, row[first:middle], strict=True))
        metadata = to_metadata(zip(self._table.metadata, row[middle:], strict=True))
        title = next((value for name, value in metadata.items() if name.lower() == "title"), None)
        note, content = None, self._join(contents)
        if not content.strip():
            is_null = all(value is None for value in contents.values())
            note = f"the row's text is {'NULL' if is_null else 'empty'}"
        return SourceDocument(content, metadata, title if isinstance(title, str) else None, note)

    def _join(self, contents: dict[str, Any]) -> str | bytes:
        values = list(contents.values())
        if self._address.text == next(iter(contents)) and isinstance(values[0], bytes | bytearray | memoryview):
            return bytes(values[0])  # A file in a column: its name, the id, says of which type.
        parts = []
        for literal, name in self._template:
            parts.append(literal + ("" if name is None else to_text(contents[name])))
        return "".join(parts)
