"""The metadata of a materialization: Dagster's own keys with the right types, and our figures."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from rag_assets.db.rows import Written


@cache
def column_schema(table: str) -> dg.TableSchema:
    """The columns of one of our tables, as the ORM says them."""
    from sqlalchemy.dialects import postgresql

    from rag_assets.db.models import SCHEMA, Base

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type.compile(dialect=dialect).lower(),
                constraints=dg.TableColumnConstraints(nullable=bool(column.nullable), unique=bool(column.unique)),
            )
            for column in Base.metadata.tables[f"{SCHEMA}.{table}"].columns
        ]
    )


def write_metadata(
    *,
    database: str,
    table: str,
    rows: int,
    partitioned: bool,
    written: "Written",
    figures: Mapping[str, float],
) -> dict[str, Any]:
    """Everything that a write shows in the UI; `figures` are the stage's own counts."""
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
    return {
        "dagster/partition_row_count" if partitioned else "dagster/row_count": rows,
        "dagster/table_name": f"{database}.rag.{table}",
        "dagster/column_schema": column_schema(table),
        **counted,
    }
