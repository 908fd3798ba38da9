"""The metadata of materializations: Dagster's own keys with the right types, and our figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from sqlalchemy import Column, Table

    from rag_assets.db.writes.rows import WriteCounts

# Identifiers and constants. Dagster plots every number over the materializations, so these are shown as text.
_NOT_PLOTTED = ("space", "held_back_space", "taken_back_from_space", "dimensions", "pool_size", "pool_maximum")


@cache
def column_schema(table: str) -> dg.TableSchema:
    """The columns of one of our tables, or of the view, from their definitions in db/."""
    from sqlalchemy.dialects import postgresql

    from rag_assets.db.models import SCHEMA, Base
    from rag_assets.db.schema.live_view import LIVE_COLUMNS

    if table == "live_chunks":
        columns = [dg.TableColumn(name, *described) for name, described in LIVE_COLUMNS.items()]
        return dg.TableSchema(columns=columns)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    model = Base.metadata.tables[f"{SCHEMA}.{table}"]
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type.compile(dialect=dialect).lower(),
                column.doc,
                constraints=_column_constraints(column),
            )
            for column in model.columns
        ],
        constraints=dg.TableConstraints(other=_table_constraints(model)),
    )


def _column_constraints(column: "Column[Any]") -> dg.TableColumnConstraints:
    from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint

    keys = [key for key in column.table.constraints if isinstance(key, PrimaryKeyConstraint | UniqueConstraint)]
    other = ["primary key"] if column.primary_key else []
    for key in column.foreign_keys:
        on_delete = f" on delete {key.ondelete.lower()}" if key.ondelete else ""
        other.append(f"references {key.target_fullname}{on_delete}")
    if column.computed is not None:
        other.append("generated")
    unique = any(list(key.columns) == [column] for key in keys)
    return dg.TableColumnConstraints(nullable=bool(column.nullable), unique=unique, other=other)


def _table_constraints(table: "Table") -> list[str]:
    """Unique constraints over several columns, and check constraints."""
    from sqlalchemy import CheckConstraint, UniqueConstraint

    found = []
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint) and len(constraint.columns) > 1:
            found.append(f"unique ({', '.join(column.name for column in constraint.columns)})")
        elif isinstance(constraint, CheckConstraint):
            found.append(f"check ({constraint.sqltext})")
    return sorted(found)


def slice_metadata(
    *, database: str, table: str, rows: int, partitioned: bool, written: "WriteCounts", figures: Mapping[str, float]
) -> dict[str, Any]:
    """What the UI shows for the write of one slice; `figures` are the stage's own counts."""
    counted: dict[str, float] = {
        "inserted": written.inserted,
        "updated": written.updated,
        "deleted": written.deleted,
        "unchanged": written.unchanged,
        "failed": written.failed,
        "bytes": written.size_bytes,
    }
    for name, value in figures.items():
        counted[name] = counted.get(name, 0) + _rounded(name, value)
    if figures.get("model_s"):
        counted["tokens_per_second"] = round(figures["tokens"] / figures["model_s"], 1)
    return {
        "dagster/partition_row_count" if partitioned else "dagster/row_count": rows,
        **table_metadata(database, table),
        **counted,
    }


def _rounded(name: str, value: float) -> float:
    # A text costs as little as a millionth.
    return round(value, 9 if name == "cost" else 3) if isinstance(value, float) else value


def table_metadata(database: str, table: str) -> dict[str, Any]:
    """The table's name and columns, under Dagster's keys."""
    return {"dagster/table_name": f"{database}.rag.{table}", "dagster/column_schema": column_schema(table)}


def figures_metadata(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as metadata: numbers are plotted by Dagster, except identifiers and constants."""
    return {name: str(value) if name in _NOT_PLOTTED else value for name, value in figures.items()}


@dataclass(frozen=True, slots=True)
class LastPromotion:
    """What the last materialization of a live-space asset says; None where it does not say."""

    space: int | None = None
    taken_back_from_space: int | None = None


def last_promotion(instance: dg.DagsterInstance, asset: dg.AssetKey) -> LastPromotion:
    event = instance.get_latest_materialization_event(asset)
    found = event.asset_materialization if event is not None else None
    if found is None:
        return LastPromotion()
    values = {name: metadata.value for name, metadata in found.metadata.items()}
    # Version 0.1 stored numbers, the second one as `taken_back_from`.
    return LastPromotion(
        _as_int(values.get("space")),
        _as_int(values.get("taken_back_from_space", values.get("taken_back_from"))),
    )


def _as_int(value: object) -> int | None:
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdigit()) else None
