"""The table or query that rows are read from: its connection, the names of its columns, and the statements."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from rag_assets.documents.sources.rows.address import ALL_KEYS, RowAddress, split_table
from rag_assets.errors import SourceError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import URL, ColumnElement, Connection, Engine, FromClause, Select

CONNECT_TIMEOUT_S = 10
# Rows that the client holds at a time of a server-side cursor.
_FETCHED_ROWS = 500
_ROW_COMPARISON = frozenset({"postgresql", "sqlite", "mysql", "mariadb"})


class RowTable:
    """A table, a view or a query, opened for reading only. Thread-safe."""

    def __init__(self, address: RowAddress, password: str | None, no_password: str) -> None:
        self._address = address
        self._password = password
        self._no_password = no_password
        self._engine = _make_engine(address.url if password is None else address.url.set(password=password))
        try:
            with self.connect() as connection:
                self._relation, names = self._find_relation(connection)
        except BaseException:
            self._engine.dispose()
            raise
        self.ids = [self._column(name, names, "id") for name in address.id]
        self.contents = {name: self._column(name, names, "text") for _, name in address.template if name is not None}
        self.metadata = {
            name: self._column(name.removesuffix(ALL_KEYS), names, "metadata") for name in address.metadata
        }
        self.version = None if address.version is None else self._column(address.version, names, "version")
        self.vector = None if address.vector is None else self._column(address.vector, names, "vector")

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def connect(self) -> "Iterator[Connection]":
        """A connection whose errors are one clear sentence without the password."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, ImportError) as error:
            raise SourceError(self._describe(error)) from None

    @contextmanager
    def rows(self, statement: "Select[Any]", *, few: bool = False) -> "Iterator[Iterator[Sequence[Any]]]":
        """The rows by a server-side cursor, where the database has them; a few rows come in one round trip."""
        options = {} if few else {"stream_results": True, "yield_per": _FETCHED_ROWS}
        with self.connect() as connection, closing(connection.execute(statement, execution_options=options)) as found:
            yield iter(found)

    def select(self, *columns: "ColumnElement[Any]") -> "Select[Any]":
        from sqlalchemy import select

        return select(*columns).select_from(self._relation)

    def vector_type(self) -> str | None:
        """PostgreSQL's name for the type of the vectors; None for other databases, and without a row."""
        from sqlalchemy import Text, cast, func

        if self.dialect != "postgresql" or self.vector is None:
            return None
        statement = self.select(cast(func.pg_typeof(self.vector), Text)).where(self.vector.is_not(None)).limit(1)
        with self.connect() as connection:
            return connection.execute(statement).scalar()

    def without_id(self) -> "Select[Any]":
        from sqlalchemy import literal_column, or_

        return self.select(literal_column("1")).where(or_(*(column.is_(None) for column in self.ids))).limit(1)

    def from_id(self, ids: Sequence[Any]) -> "ColumnElement[bool]":
        """The row with this id and those after it, in the order of ids."""
        from sqlalchemy import and_, or_, tuple_

        values = [_bind(value) for value in ids]
        if len(values) == 1:
            return self.ids[0] >= values[0]
        if self.dialect in _ROW_COMPARISON:
            return tuple_(*self.ids) >= tuple_(*values)
        after = [
            and_(*(self.ids[at] == values[at] for at in range(last)), self.ids[last] > values[last])
            for last in range(len(values))
        ]
        return or_(*after, self.has_id(ids))

    def has_id(self, ids: Sequence[Any]) -> "ColumnElement[bool]":
        from sqlalchemy import and_

        return and_(*(column == _bind(value) for column, value in zip(self.ids, ids, strict=True)))

    def in_ids(self, chosen: Sequence[Sequence[Any]]) -> "ColumnElement[bool]":
        from sqlalchemy import or_

        if len(self.ids) == 1:
            return self.ids[0].in_([_bind(ids[0]) for ids in chosen])
        return or_(*map(self.has_id, chosen))

    def row_hash(self) -> "ColumnElement[Any] | None":
        """A hash that the server computes of all that a document is made of; None where it cannot."""
        from sqlalchemy import Text, cast, func

        if self.dialect != "postgresql":
            return None
        row = cast(func.row(*self.contents.values(), *self.metadata.values()), Text)
        return func.encode(func.sha256(func.convert_to(row, "UTF8")), "hex")

    def _find_relation(self, connection: "Connection") -> "tuple[FromClause, list[str]]":
        from sqlalchemy import inspect
        from sqlalchemy.exc import DBAPIError

        if self._address.query is not None:
            return self._read_names(connection, self._address.query)
        assert self._address.table is not None
        schema, name = split_table(self._address.table)
        try:
            return self._read_names(connection, None, schema, name)
        except DBAPIError as error:
            connection.rollback()
            inspector = inspect(connection)
            known = {*inspector.get_table_names(schema), *inspector.get_view_names(schema)}
            if self.dialect == "postgresql":
                known |= set(inspector.get_materialized_view_names(schema))
            alike = [other for other in known if other.lower() == name.lower()]
            if name in known:
                raise
            if len(alike) == 1:
                return self._read_names(connection, None, schema, alike[0])
            raise SourceError(self._no_such("table", self._address.table, sorted(known))) from error

    def _read_names(
        self, connection: "Connection", query: str | None, schema: str | None = None, name: str = ""
    ) -> "tuple[FromClause, list[str]]":
        from sqlalchemy import literal_column, quoted_name, select, table, text

        relation: FromClause
        if query is None:
            relation = table(quoted_name(name, quote=True), schema=schema and quoted_name(schema, quote=True))
        else:
            # In text(), a colon before a name would be a parameter.
            plain = text(re.sub(r":", r"\\:", query))
            relation = plain.columns().subquery(quoted_name("query_rows", quote=False))
        nothing: Select[Any] = select(literal_column("*")).select_from(relation).where(text("1 = 0"))
        return relation, list(connection.execute(nothing).keys())

    def _column(self, name: str, names: Sequence[str], parameter: str) -> "ColumnElement[Any]":
        from sqlalchemy import column, quoted_name

        alike = [name] if name in names else [other for other in names if other.lower() == name.lower()]
        if len(alike) != 1:
            self._engine.dispose()
            shown = "the query" if self._address.query else self._address.table or ""
            raise SourceError(f"{parameter}={name}: {self._no_such('column', name, names, f' in {shown}')}")
        if names.count(alike[0]) > 1:
            self._engine.dispose()
            raise SourceError(f"{parameter}={name}: the query has two columns {name!r}; give one another name")
        return column(quoted_name(alike[0], quote=True))

    def _no_such(self, what: str, name: str, known: Sequence[str], where: str = "") -> str:
        from difflib import get_close_matches

        near = get_close_matches(name.rpartition(".")[2].strip('"'), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        shown = ", ".join(known[:20]) + (" …" if len(known) > 20 else "")
        kinds = "There are" if len(known) != 1 else "There is"
        return f"there is no {what} {name!r}{where}; {hint}({kinds} {shown or 'none that this user may read'}.)"

    def _describe(self, error: BaseException) -> str:
        from sqlalchemy.exc import OperationalError

        lines = [line.strip() for line in str(getattr(error, "orig", None) or error).splitlines() if line.strip()]
        # libpq lists each address that it tried, and asks questions.
        first = next((line for line in lines if not line.startswith("Multiple connection attempts")), "no reason")
        reason = first.removeprefix("- ").removeprefix("connection failed: ")
        for secret in (self._password, self._address.url.password):
            reason = reason.replace(str(secret), "***") if secret else reason
        where = self._address.shown
        # SQLite calls every error so.
        if not isinstance(error, OperationalError) or self.dialect == "sqlite":
            return f"{where} cannot be read ({reason[:300]}); correct the address, or what this user may read"
        hint = "check that the server runs, and the host, database and user of the address"
        if "password" in reason.lower():
            hint = "give the right one" if self._password else self._no_password
        on = f" on {self._address.url.host}" if self._address.table and self._address.url.host else ""
        return f"{where}{on} cannot be read ({reason[:300]}); {hint}"


def _make_engine(url: "URL") -> "Engine":
    import sqlite3
    from pathlib import Path
    from urllib.parse import quote

    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    backend = url.get_backend_name()
    options: dict[str, Any] = {"pool_size": 2, "max_overflow": 4, "pool_recycle": 600}
    if backend == "sqlite" and url.database is not None:
        file = url.database
        if not Path(file).is_file():
            raise SourceError(f"the SQLite database {file} cannot be found; check its path")
        # Opening a database by its name alone would create a missing one.
        options["creator"] = lambda: sqlite3.connect(f"file:{quote(file)}?mode=ro", uri=True, check_same_thread=False)
    elif backend == "postgresql":
        options["execution_options"] = {"postgresql_readonly": True}
        if url.get_driver_name() == "psycopg":
            # Prepared statements do not outlive a transaction of a pooler.
            options["connect_args"] = {"prepare_threshold": None}
            if "connect_timeout" not in url.query:
                options["connect_args"]["connect_timeout"] = CONNECT_TIMEOUT_S
    try:
        engine = create_engine(url, **options)
    except NoSuchModuleError:
        raise UsageError(
            f"there is no database dialect {url.drivername!r} in SQLAlchemy; install the package that has it, or "
            "correct the address"
        ) from None
    except ImportError as error:
        raise UsageError(
            f"sql+{url.drivername}:// needs the Python package of its driver, which is not installed ({error}); "
            f"install it, or name another one, like sql+{backend}+driver://"
        ) from None
    except (ArgumentError, TypeError, ValueError) as error:
        raise UsageError(f"the address of rows cannot be opened ({error}); correct it") from None
    if engine.dialect.is_async:
        raise UsageError(f"sql+{url.drivername}:// is an asynchronous driver; name one without async")
    return engine


def _bind(value: Any) -> "ColumnElement[Any]":
    from sqlalchemy import literal
    from sqlalchemy.types import NullType

    # Without a type, so that PostgreSQL takes that of the column.
    return literal(value, NullType())
