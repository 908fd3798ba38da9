"""Write many rows into any table: by binary COPY in batches, in one transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import DeclarativeBase

from rag_assets.db.writes.copy import copy_rows
from rag_assets.db.writes.rows import WriteCounts
from rag_assets.errors import UsageError
from rag_assets.repositories.core.values import table_of, validate_row

BATCH_ROWS = 5_000
# xmax is 0 in a row that the statement inserted, and not in one that it updated.
_INSERTED: ColumnElement[bool] = literal_column("xmax = 0", Boolean())


def insert_rows(
    connection: Connection,
    model: type[DeclarativeBase],
    rows: Iterable[Mapping[str, Any]],
    *,
    batch_rows: int = BATCH_ROWS,
) -> int:
    """Insert rows, mappings by column name that all have the same columns; returns the number of rows.

    Counters in other tables are not updated: use `Conversations.append_many` for messages. Raises UsageError for the
    first invalid row; then no row is inserted.
    """
    table = table_of(model)
    inserted = 0
    for incoming in _copy_batches(connection, model, rows, batch_rows):
        names = incoming.c.keys()
        statement = insert(table).from_select(names, select(incoming), include_defaults=False)
        result = connection.execute(statement, execution_options={"preserve_rowcount": True})
        inserted += result.rowcount
    return inserted


def upsert_rows(
    connection: Connection,
    model: type[DeclarativeBase],
    rows: Iterable[Mapping[str, Any]],
    *,
    by: Sequence[str] = ("id",),
    batch_rows: int = BATCH_ROWS,
) -> WriteCounts:
    """Insert rows, or update those with the same values in the columns `by`, which must be a unique key.

    Rows that are stored unchanged are not written. Returns the numbers of rows inserted, updated and unchanged. Raises
    UsageError for the first invalid row and for a key that occurs twice; then nothing is written.
    """
    table = table_of(model)
    if not _is_unique_key(table, by):
        raise UsageError(f"{table.name} has no unique key of {', '.join(by)}; name the columns of one in `by`.")
    counts = WriteCounts()
    for incoming in _copy_batches(connection, model, rows, batch_rows):
        names = incoming.c.keys()
        missing = [name for name in by if name not in names]
        if missing:
            raise UsageError(f"{table.name}.{missing[0]} is missing; each row must have its key ({', '.join(by)}).")
        # In the order of the key, so that two upserts of the same rows cannot deadlock.
        wanted = select(incoming).order_by(*(incoming.c[name] for name in by))
        statement = insert(table).from_select(names, wanted, include_defaults=False)
        replaced: dict[str, Any] = {name: statement.excluded[name] for name in names if name not in (*by, "id")}
        if not replaced:
            insert_new = statement.on_conflict_do_nothing(index_elements=by)
            written = connection.scalars(insert_new.returning(_INSERTED)).all()
        else:
            changed = or_(*(table.c[name].is_distinct_from(value) for name, value in replaced.items()))
            if "updated_at" in table.c:
                replaced.setdefault("updated_at", func.now())
            update = statement.on_conflict_do_update(index_elements=by, set_=replaced, where=changed)
            written = connection.scalars(update.returning(_INSERTED)).all()
        inserted = sum(written)
        total = connection.scalar(select(func.count()).select_from(incoming)) or 0
        counts += WriteCounts(inserted=inserted, updated=len(written) - inserted, unchanged=total - len(written))
    return counts


def _is_unique_key(table: Table, by: Sequence[str]) -> bool:
    keys = [c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)]
    return any(set(by) == set(key.columns.keys()) for key in keys)


def _copy_batches(
    connection: Connection, model: type[DeclarativeBase], rows: Iterable[Mapping[str, Any]], batch_rows: int
) -> Iterator[Table]:
    """The validated rows in a temporary table, batch by batch; each table is dropped before the next."""
    if batch_rows < 1:
        raise UsageError(f"batch_rows is {batch_rows}; give 1 or more.")
    table = table_of(model)
    source = iter(rows)
    names: list[str] = []
    while batch := [validate_row(model, row) for row in islice(source, batch_rows)]:
        names = names or list(batch[0])
        for row in batch:
            if row.keys() != set(names):
                odd = sorted(row.keys() ^ set(names))
                raise UsageError(
                    f"not all rows of {table.name} have the column {odd[0]}; give each row the same columns."
                )
        values = ([row[name] for name in names] for row in batch)
        incoming = copy_rows(
            connection, f"incoming_{table.name}", [_copy_column(table.c[name]) for name in names], values
        )
        yield incoming
        incoming.drop(connection)


def _copy_column(column: Column[Any]) -> Column[Any]:
    """The column with its bare type: COPY takes no length."""
    match column.type:
        case String():
            return Column(column.name, Text())
        case VECTOR():
            return Column(column.name, VECTOR())
        case _:
            return Column(column.name, column.type)
