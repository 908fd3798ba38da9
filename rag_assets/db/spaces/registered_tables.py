"""Tables of other packages whose texts are embedded and searched: entry points of the group `rag_assets.tables`."""

import re
from functools import cache
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from rag_assets.errors import UsageError
from rag_assets.settings.entry_points import describe_entry_point, find_entry_point, list_entry_points

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

ENTRY_POINT_GROUP = "rag_assets.tables"
# Also the prefix of assets, checks and jobs, which Dagster limits to letters, digits and underscores.
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
# The kinds of this package, and names whose assets would be called like ours (message_index, hnsw_index, live_space).
RESERVED_KINDS = frozenset({"chunks", "messages", "memories", "message", "memory", "hnsw", "space"})


def registered_kinds() -> list[str]:
    """The names of the registered tables. Their modules are not imported.

    Raises UsageError for a name that cannot be a kind.
    """
    for entry in list_entry_points(ENTRY_POINT_GROUP):
        if not _KIND.fullmatch(entry.name):
            raise UsageError(
                f"the table {describe_entry_point(entry)} has an invalid name; rename its entry point to lower-case "
                "letters, digits and underscores, 40 at most."
            )
        if entry.name in RESERVED_KINDS:
            raise UsageError(
                f"the table {describe_entry_point(entry)} has a name that rag_assets uses itself; "
                "rename its entry point."
            )
    return sorted({entry.name for entry in list_entry_points(ENTRY_POINT_GROUP)})


def is_registered(kind: str) -> bool:
    return kind in registered_kinds()


def load_table(kind: str) -> type[Any]:
    """The model of a registered table; raises UsageError if there is none, or one that cannot be embedded."""
    entry = find_entry_point(ENTRY_POINT_GROUP, kind, f"the table {kind}") if is_registered(kind) else None
    if entry is None:
        raise UsageError(
            f"no installed package registers a table {kind!r}; install the package whose entry point it is "
            f"(group {ENTRY_POINT_GROUP})."
        )
    return _load_model(entry)


def create_missing_tables(engine: "Engine") -> list[str]:
    """Create the registered tables that do not exist, with their indexes; returns their names."""
    created = []
    with engine.begin() as connection:
        for kind in registered_kinds():
            if not table_exists(connection, kind):
                table = load_table(kind).__table__
                table.create(connection)
                created.append(table.fullname)
    return created


def table_exists(connection: "Connection", kind: str) -> bool:
    from sqlalchemy import inspect

    table = load_table(kind).__table__
    return inspect(connection).has_table(table.name, schema=table.schema)


def check_table_exists(connection: "Connection", kind: str) -> None:
    """Raises UsageError if the registered table was not created yet."""
    if not table_exists(connection, kind):
        raise UsageError(
            f"the table {load_table(kind).__table__.fullname} does not exist; "
            "run rag-assets db create-tables, or your own migration."
        )


@cache
def _load_model(entry: EntryPoint) -> type[Any]:
    from sqlalchemy import inspect
    from sqlalchemy.orm import Mapper

    from rag_assets.db.models.base import Embeddable, Timestamped

    origin = f"the table {describe_entry_point(entry)}"
    try:
        model = entry.load()
    except Exception as error:
        raise UsageError(
            f"{origin} cannot be loaded ({type(error).__name__}: {error}); correct or uninstall its package."
        ) from error
    mapper = inspect(model, raiseerr=False)
    if not isinstance(model, type) or not isinstance(mapper, Mapper):
        raise UsageError(f"{origin} is not a mapped class; name a declarative model of SQLAlchemy.")
    missing = [mixin.__name__ for mixin in (Embeddable, Timestamped) if not issubclass(model, mixin)]
    if missing:
        raise UsageError(f"{origin} must inherit from {' and '.join(missing)} (rag_assets.tables).")
    if len(mapper.primary_key) != 1:
        raise UsageError(f"{origin} needs a primary key of one column; inherit from Identified (rag_assets.tables).")
    return model
