"""Rows as detached ORM objects: the reads and writes that all repositories share."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from sqlalchemy import Connection, Select, delete, func, insert, inspect, tuple_, update
from sqlalchemy.orm import Session

from rag_assets.db.models import Base
from rag_assets.errors import NotFoundError, UsageError
from rag_assets.repositories.core.values import parse_id, table_of, validate_row

M = TypeVar("M", bound=Base)

MAX_PAGE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """One page of a list. Pass `next` as `after` to get the following page; it is None on the last one."""

    items: list[M]
    next: str | None


def _session(connection: Connection) -> Session:
    """A session in the connection's transaction; its objects stay loaded when it closes."""
    return Session(bind=connection, expire_on_commit=False, autoflush=False)


def fetch_all(connection: Connection, statement: Any) -> list[Any]:
    """The ORM objects that a SELECT or RETURNING yields, with their present values."""
    with _session(connection) as session:
        return list(session.scalars(statement, execution_options={"populate_existing": True}))


def find_row(connection: Connection, model: type[M], id_: UUID) -> M | None:
    """The row with this id, soft-deleted or not; None where there is none."""
    with _session(connection) as session:
        return session.get(model, parse_id(f"{table_of(model).name}.id", id_))


def get_row(connection: Connection, model: type[M], id_: UUID) -> M:
    """The row with this id; raises UsageError where it does not exist or is soft-deleted."""
    return require_row(model, id_, find_row(connection, model, id_))


def require_row(model: type[M], id_: UUID, row: M | None) -> M:
    """`row`; raises UsageError where it is None or soft-deleted."""
    if row is None:
        raise missing_row(model, id_)
    if getattr(row, "deleted_at", None) is not None:
        raise NotFoundError(f"the row {id_} of {table_of(model).name} is deleted; restore it first.")
    return row


def missing_row(model: type[Base], id_: UUID) -> NotFoundError:
    return NotFoundError(f"{table_of(model).name} has no row with the id {id_}; list the rows to find it.")


def create_row(connection: Connection, model: type[M], values: Mapping[str, Any]) -> M:
    """Validate and insert one row; returns it with the values that the database generated."""
    return insert_row(connection, model, validate_row(model, values))


def insert_row(connection: Connection, model: type[M], row: Mapping[str, Any]) -> M:
    """Same as `create_row`, for validated values and SQL expressions."""
    created: M = fetch_all(connection, insert(model).values(values_by_attribute(model, row)).returning(model))[0]
    return created


def values_by_attribute(model: type[Base], row: Mapping[str, Any]) -> dict[str, Any]:
    """The values by the model's attribute names. SQLAlchemy silently ignores values under column names."""
    table, mapper = table_of(model), inspect(model)
    return {mapper.get_property_by_column(table.c[name]).key: value for name, value in row.items()}


def check_changes(model: type[Base], changes: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The changes; raises UsageError where they are empty or name another column than `names`."""
    unknown = [name for name in changes if name not in names]
    if unknown or not changes:
        wrong = f"{unknown[0]!r} cannot be changed" if unknown else "there is nothing to change"
        raise UsageError(f"{wrong} in {table_of(model).name}; give {', '.join(names)}.")
    return dict(changes)


def update_row(connection: Connection, model: type[M], id_: UUID, values: Mapping[str, Any]) -> M:
    """Validate the values and update the row with them, and its `updated_at`; returns the row."""
    get_row(connection, model, id_)
    return _update(connection, model, id_, validate_row(model, values))


def soft_delete_row(connection: Connection, model: type[M], id_: UUID) -> M:
    """Set `deleted_at`; does nothing where it is set already. Returns the row."""
    row = find_row(connection, model, id_)
    if row is not None and getattr(row, "deleted_at", None) is not None:
        return row
    require_row(model, id_, row)
    return _update(connection, model, id_, {"deleted_at": func.now()})


def restore_row(connection: Connection, model: type[M], id_: UUID) -> M:
    """Clear `deleted_at`; does nothing where it is clear already. Returns the row."""
    row = find_row(connection, model, id_)
    if row is None or getattr(row, "deleted_at", None) is None:
        return require_row(model, id_, row)
    return _update(connection, model, id_, {"deleted_at": None})


def delete_row(connection: Connection, model: type[Base], id_: UUID) -> None:
    """Delete the row, and all rows that cascade from it; raises UsageError where it does not exist."""
    table = table_of(model)
    deleted = connection.execute(delete(table).where(table.c.id == parse_id(f"{table.name}.id", id_)))
    if not deleted.rowcount:
        raise missing_row(model, id_)


def fetch_page(
    connection: Connection, model: type[M], statement: Select[Any], *, limit: int, after: str | None
) -> Page[M]:
    """`limit` rows of the statement, newest first, from the cursor `after` on.

    Ordered by `created_at` and id: the rows of one transaction share a time, and neither value changes later, so
    that no row moves between pages.
    """
    if not 1 <= limit <= MAX_PAGE_ROWS:
        raise UsageError(f"limit is {limit}; choose 1 to {MAX_PAGE_ROWS}.")
    table = table_of(model)
    key = tuple_(table.c.created_at, table.c.id)
    if after is not None:
        statement = statement.where(key < tuple_(*_decode_cursor(after)))
    rows = fetch_all(connection, statement.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit + 1))
    more = len(rows) > limit
    return Page(rows[:limit], _encode_cursor(rows[limit - 1]) if more else None)


def _update(connection: Connection, model: type[M], id_: UUID, values: Mapping[str, Any]) -> M:
    table = table_of(model)
    statement = (
        update(model)
        .where(table.c.id == parse_id("id", id_))
        .values(values_by_attribute(model, values))
        .returning(model)
    )
    for row in fetch_all(connection, statement):
        return cast("M", row)
    raise missing_row(model, id_)


def _encode_cursor(row: Any) -> str:
    return urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode()


def _decode_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, id_ = urlsafe_b64decode(cursor.encode()).decode().split(" ")
        return datetime.fromisoformat(at), UUID(id_)
    except ValueError:
        raise UsageError(f"after is {cursor!r}; pass the `next` of a page, or leave it out.") from None
