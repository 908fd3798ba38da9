"""Count the rows that a document or a user has in each table, and report what was removed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, Connection, Executable, LargeBinary, Text, TextClause, Uuid, bindparam

# The select of a count, by the name of the table.
Traces = Mapping[str, Executable]
_TYPES: dict[str, Any] = {
    "project_id": Uuid(),
    "erased": Text(),
    **dict.fromkeys(("ids", "message_ids"), ARRAY(Uuid)),
    **dict.fromkeys(("hashes", "messages", "memories"), ARRAY(LargeBinary)),
    **dict.fromkeys(("paths", "chunkings", "languages", "lexemes", "names", "readers"), ARRAY(Text)),
}


@dataclass(frozen=True, slots=True)
class ErasedTable:
    """Rows of a table before and after; `removed` says how many are gone."""

    table: str
    before: int
    removed: int
    after: int


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """The proof of an erasure.

    - `kind`: document or user; `name` as it was given.
    - `tables`: what was stored, removed and is left. `shared_vectors`: vectors of texts that others have, too.
    - `notes`: what stays on purpose, or outside of the database.
    """

    kind: str
    name: str
    tables: Sequence[ErasedTable]
    shared_vectors: int
    notes: Sequence[str]

    @property
    def left(self) -> list[str]:
        """The tables where rows are left."""
        return [one.table for one in self.tables if one.after]

    def as_json(self) -> dict[str, Any]:
        tables = {one.table: {"before": one.before, "removed": one.removed, "after": one.after} for one in self.tables}
        return {
            "kind": self.kind,
            "name": self.name,
            "tables": tables,
            "shared_vectors": self.shared_vectors,
            "notes": list(self.notes),
            "complete": not self.left,
        }


def count_traces(connection: Connection, traces: Traces) -> dict[str, int]:
    return {table: int(connection.execute(count).scalar_one()) for table, count in traces.items()}


def compare_counts(before: Mapping[str, int], after: Mapping[str, int]) -> list[ErasedTable]:
    return [ErasedTable(table, rows, rows - after[table], after[table]) for table, rows in before.items()]


def bind_values(statement: TextClause, values: Mapping[str, Any]) -> TextClause:
    """The statement with those of the values that it names, typed: an empty list has no type of its own."""
    names = statement.compile().params.keys()
    return statement.bindparams(*(bindparam(name, values[name], _TYPES[name]) for name in names))
