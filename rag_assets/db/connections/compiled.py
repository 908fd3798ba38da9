"""Statements compiled once and sent many times: building and compiling one takes longer than most searches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, Text, literal_column
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.default import DefaultDialect

from rag_assets.db.connections.sqlalchemy_internals import cache_key

# Quotes as standard SQL does.
_quote = Text().literal_processor(DefaultDialect())  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class CompiledStatement:
    """SQL as the driver takes it, and the values that are the same each time it is sent."""

    sql: str
    fixed: dict[str, Any]


def compile_statement(statement: ClauseElement) -> CompiledStatement:
    """Compile for psycopg; values are sent as they are, without SQLAlchemy's conversions of their types."""
    return _to_driver_form(_compile(statement))


def text_literal(value: str) -> ColumnElement[str]:
    """A text written into the SQL: each bound value costs time whenever the statement is sent.

    For texts of this package alone; what a user gave is bound.
    """
    assert _quote is not None
    return literal_column(_quote(value), Text)


def _compile(statement: ClauseElement) -> Any:
    return statement.compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]


def _to_driver_form(compiled: Any) -> CompiledStatement:
    return CompiledStatement(
        str(compiled), {name: value for name, value in compiled.params.items() if value is not None}
    )


class Clauses:
    """WHERE clauses that are equal to others with other values, so that both share one compiled statement."""

    def __init__(self, clauses: Sequence[ColumnElement[bool]]) -> None:
        self.clauses = clauses
        # SQLAlchemy's cache key of the clauses alone: the statement around them need not be built.
        self._key, self.bound = cache_key(clauses)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clauses) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __bool__(self) -> bool:
        return bool(self.clauses)


NO_CLAUSES = Clauses([])


@dataclass(frozen=True, slots=True)
class CompiledWithClauses:
    """A compiled statement, and the names of its clauses' values in it."""

    statement: CompiledStatement
    names: Sequence[str]

    def values(self, clauses: Clauses, others: dict[str, Any]) -> dict[str, Any]:
        """The values to send: those of clauses that equal the compiled ones, and the others."""
        if not self.names:
            return others
        return {name: bound.effective_value for name, bound in zip(self.names, clauses.bound, strict=True)} | others


def compile_with_clauses(statement: ClauseElement, clauses: Clauses) -> CompiledWithClauses:
    compiled = _compile(statement)
    return CompiledWithClauses(_to_driver_form(compiled), [compiled.bind_names[bound] for bound in clauses.bound])
