"""The address of rows: that of their database, without its password, and which columns make a document."""

import csv
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote

from rag_assets.documents.text import fingerprint, is_text
from rag_assets.errors import UsageError, unknown_name_message

if TYPE_CHECKING:
    from sqlalchemy import URL

SCHEME = "sql+"
_LINK = re.compile(r"sql\+([a-zA-Z0-9_+]+)://([^?]*)(?:\?(.*))?", re.DOTALL | re.IGNORECASE)
_PARAMETERS = ("table", "query", "id", "text", "metadata", "version", "vector")
_SECRETS = re.compile("password|passwd|pwd|sslpassword|token|secret|access_token|api_?key", re.IGNORECASE)
# After the name of a metadata column with JSON objects: each of their keys is metadata.
ALL_KEYS = ".*"
_EXAMPLE = "sql+postgresql://user@host/db?table=items&id=id&text=body"
# The driver that this package has, instead of the one that SQLAlchemy would take.
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


@dataclass(frozen=True, slots=True)
class RowAddress:
    """Where rows are and what they become. Names of columns and of the table stand as they were written.

    `text` is a column, or a template with columns in braces; `template` has its parts: (literal, column or None).
    """

    uri: str
    url: "URL"
    table: str | None
    query: str | None
    id: tuple[str, ...]
    text: str
    metadata: tuple[str, ...] = ()
    version: str | None = None
    vector: str | None = None

    @property
    def account(self) -> str:
        """The server, the database and the user that a password belongs to."""
        return self.url.set(query={}, drivername=self.url.get_backend_name()).render_as_string(hide_password=False)

    @property
    def shown(self) -> str:
        """The table or the database, for messages."""
        return f"table {self.table}" if self.table else f"the query on {self.url.database or self.url.host}"

    @property
    def name(self) -> str:
        """A name for the project of these rows."""
        return (self.table or os.path.basename(self.url.database or "") or "rows").replace('"', "")  # noqa: PTH119

    @property
    def template(self) -> tuple[tuple[str, str | None], ...]:
        return _parse_template(self.text)

    @property
    def content_fingerprint(self) -> str:
        """Changes when rows become other documents, although they are the same."""
        return fingerprint(self.table, self.query, self.id, self.text, self.metadata)[:8]


def is_row_address(uri: str) -> bool:
    return uri[: len(SCHEME)].lower() == SCHEME and "://" in uri


def has_source_vectors(uri: str) -> bool:
    """Whether the rows of this address have vectors already."""
    return is_row_address(uri) and parse_row_address(uri).vector is not None


def split_password(uri: str) -> tuple[str, str | None]:
    """The address without its password, and the password. Nothing that is raised shows a part of it."""
    match = _LINK.fullmatch(uri)
    if match is None:
        raise UsageError(f"the address of rows cannot be understood; write it like {_EXAMPLE}")
    driver, before, query = match.groups()
    user, at, server = before.rpartition("@")
    if not at or before.startswith("/"):
        return uri, None
    name, colon, password = user.partition(":")
    if "@" in user or "/" in name:
        raise UsageError(
            "the address of rows has an @ or a / in its user or password; write them percent-encoded (%40, %2F)"
        )
    if not colon:
        return uri, None
    rest = "" if query is None else f"?{query}"
    return f"sql+{driver}://{name}@{server}{rest}", unquote(password) or None


def with_password(uri: str, password: str | None) -> str:
    """The address as a person gives it, from what `split_password` returns."""
    scheme, _, rest = uri.partition("://")
    before, mark, query = rest.partition("?")
    user, at, server = before.rpartition("@")
    if password is None or not at:
        return uri
    return f"{scheme}://{user}:{quote(password, safe='')}@{server}{mark}{query}"


def canonical_row_address(uri: str) -> str:
    """The address as it is stored; raises UsageError for a password in it and for wrong parameters."""
    refuse_password(uri)
    return parse_row_address(uri).uri


def refuse_password(uri: str) -> None:
    """Raise UsageError for an address of rows with a password: it would be stored with the project."""
    if not is_row_address(uri):
        return
    address, password = split_password(uri)
    if password is not None:
        raise UsageError(
            f"the address {address.partition('?')[0]} carries a password, which would be stored with the project; give "
            "it once to `rag-assets ingest` or `rag-assets projects add`, which keep it apart, or in "
            "RAG_ASSETS_SOURCE_<PROJECT>_PASSWORD"
        )


def parse_row_address(uri: str) -> RowAddress:
    """The parts of an address without a password. Raises UsageError that names the parameter that is wrong."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    match = _LINK.fullmatch(uri)
    if match is None or not is_text(uri):
        raise UsageError(f"the address of rows cannot be understood; write it like {_EXAMPLE}")
    driver, before, query = match[1].lower(), match[2], match[3] or ""
    host = before.rpartition("@")[2].partition("/")[0]
    port = host.rpartition(":")[2] if ":" in host and not host.endswith("]") else ""
    if port and not port.isdigit():
        # Perhaps the first half of a password: it is not shown.
        raise UsageError(
            "the address of rows has a port that is not a number; write special characters of a password "
            "percent-encoded (%3F for ?, %23 for #)"
        )
    pairs = parse_qsl(query, keep_blank_values=True)
    own: dict[str, str] = {}
    for name, value in pairs:
        if name in _PARAMETERS:
            if name in own:
                raise UsageError(f"the address of rows has the parameter {name!r} twice; keep one")
            own[name] = value.strip()
        elif _SECRETS.fullmatch(name):
            raise UsageError(
                f"the address of rows carries a secret in {name!r}, which would be stored with the project; "
                "write the password as user:password@host, which keeps it apart"
            )
    _check_parameters(own, [name for name, _ in pairs])
    try:
        url = make_url(f"{_DRIVERS.get(driver, driver)}://{before}")
    except (ArgumentError, ValueError):
        raise UsageError(f"the address of rows cannot be understood; write it like {_EXAMPLE}") from None
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise UsageError("sql+sqlite:// names no file; write sql+sqlite:///folder/file.db?table=…")
        path = os.path.abspath(os.path.expanduser(url.database))  # noqa: PTH100, PTH111
        url, before = url.set(database=path), f"/{path}"
    url = url.update_query_pairs([pair for pair in pairs if pair[0] not in _PARAMETERS])
    return RowAddress(
        uri=f"sql+{driver}://{before}?{query}",
        url=url,
        table=own.get("table"),
        query=own.get("query", "").rstrip("; \n\t") or None,
        id=split_names(own["id"]),
        text=own["text"],
        metadata=split_names(own.get("metadata", "")),
        version=own.get("version") or None,
        vector=own.get("vector") or None,
    )


def split_names(names: str) -> tuple[str, ...]:
    """The names of columns, separated by commas; one in double quotes may contain a comma."""
    if not names.strip():
        return ()
    found = next(csv.reader([names], skipinitialspace=True))
    return tuple(name.strip() for name in found if name.strip())


def split_table(name: str) -> tuple[str | None, str]:
    """(schema, table) of `items`, `shop.items`, `"My schema"."Items"`."""
    parts = [(quoted.replace('""', '"') or plain) for quoted, plain in re.findall(r'"((?:[^"]|"")+)"|([^".]+)', name)]
    if not parts or len(parts) > 2:
        raise UsageError(f"the table {name!r} cannot be understood; write table or schema.table, in quotes if needed")
    return (parts[0], parts[1]) if len(parts) == 2 else (None, parts[0])


def _check_parameters(own: Mapping[str, str], names: list[str]) -> None:
    missing = next((name for name in ("id", "text") if not own.get(name)), None)
    if missing is not None or bool(own.get("table")) == bool(own.get("query")):
        near = next((name for name in names if name.lower() in _PARAMETERS and name not in _PARAMETERS), None)
        if near is not None:
            raise UsageError(f"the address of rows: {unknown_name_message(near, _PARAMETERS, 'parameter')}")
        what = f"the parameter {missing!r}" if missing else "one of the parameters 'table' and 'query'"
        raise UsageError(f"the address of rows needs {what}; write it like {_EXAMPLE}")
    _parse_template(own["text"])


def _parse_template(text: str) -> tuple[tuple[str, str | None], ...]:
    if "{" not in text and "}" not in text:
        return (("", text),)
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise UsageError(
            f"the template {text!r} cannot be understood ({error}); write it like '{{title}}: {{body}}'"
        ) from None
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise UsageError(f"the template {text!r} formats a value; write only names of columns in braces")
    if not any(name for _, name, _, _ in parts):
        raise UsageError(f"the template {text!r} names no column; write it like '{{title}}: {{body}}'")
    if any(name == "" for _, name, _, _ in parts):
        raise UsageError(f"the template {text!r} has empty braces; write the name of a column in them")
    return tuple((literal, name) for literal, name, _, _ in parts)
