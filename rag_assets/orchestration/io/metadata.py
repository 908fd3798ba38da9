"""The metadata of a materialization: Dagster's own keys with the right types, and our figures."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from sqlalchemy import Column, Table

    from rag_assets.db.writes.rows import WriteCounts


@cache
def column_schema(table: str) -> dg.TableSchema:
    """The columns of one of our tables, or of the view, as the ORM says them."""
    from sqlalchemy.dialects import postgresql

    from rag_assets.db.models import SCHEMA, Base
    from rag_assets.db.schema.live_view import LIVE_COLUMNS

    if table == "live_chunks":
        return dg.TableSchema(columns=[dg.TableColumn(name, *said) for name, said in LIVE_COLUMNS.items()])
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    found = Base.metadata.tables[f"{SCHEMA}.{table}"]
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type.compile(dialect=dialect).lower(),
                column.doc,
                constraints=_of_column(column),
            )
            for column in found.columns
        ],
        constraints=dg.TableConstraints(other=_of_table(found)),
    )


def _of_column(column: "Column[Any]") -> dg.TableColumnConstraints:
    from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint

    keys = [key for key in column.table.constraints if isinstance(key, PrimaryKeyConstraint | UniqueConstraint)]
    other = ["primary key"] if column.primary_key else []
    for key in column.foreign_keys:
        ends = f" on delete {key.ondelete.lower()}" if key.ondelete else ""
        other.append(f"references {key.target_fullname}{ends}")
    if column.computed is not None:
        other.append("generated")
    unique = any(list(key.columns) == [column] for key in keys)
    return dg.TableColumnConstraints(nullable=bool(column.nullable), unique=unique, other=other)


def _of_table(table: "Table") -> list[str]:
    """What holds of several columns together, and of each row."""
    from sqlalchemy import CheckConstraint, UniqueConstraint

    found = []
    for rule in table.constraints:
        if isinstance(rule, UniqueConstraint) and len(rule.columns) > 1:
            found.append(f"unique ({', '.join(column.name for column in rule.columns)})")
        elif isinstance(rule, CheckConstraint):
            found.append(f"check ({rule.sqltext})")
    return sorted(found)


def write_metadata(
    *, database: str, table: str, rows: int, partitioned: bool, written: "WriteCounts", figures: Mapping[str, float]
) -> dict[str, Any]:
    """Everything that the write of one slice shows in the UI; `figures` are the stage's own counts."""
    counted: dict[str, float] = {
        "inserted": written.inserted,
        "updated": written.updated,
        "deleted": written.deleted,
        "unchanged": written.unchanged,
        "failed": written.failed,
        "bytes": written.size_bytes,
    }
    for name, value in figures.items():
        counted[name] = counted.get(name, 0) + (round(value, 3) if isinstance(value, float) else value)
    if figures.get("model_s"):
        counted["tokens_per_second"] = round(figures["tokens"] / figures["model_s"], 1)
    return {
        "dagster/partition_row_count" if partitioned else "dagster/row_count": rows,
        **table_metadata(database, table),
        **counted,
    }


def table_metadata(database: str, table: str) -> dict[str, Any]:
    """Where the rows are, and the columns that they have."""
    return {"dagster/table_name": f"{database}.rag.{table}", "dagster/column_schema": column_schema(table)}


def last_served(instance: dg.DagsterInstance, pointer: dg.AssetKey) -> dict[str, int]:
    """What the last materialization of a pointer says: `space`, and `taken_back_from` where another one served."""
    event = instance.get_latest_materialization_event(pointer)
    found = event.asset_materialization if event is not None else None
    said = {} if found is None else {name: metadata.value for name, metadata in found.metadata.items()}
    wanted = ("space", "taken_back_from")
    return {name: value for name, value in said.items() if name in wanted and isinstance(value, int)}
