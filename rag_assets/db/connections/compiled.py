"""Statements compiled once, to be sent many times: to put one together takes longer than most searches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, Text, and_, literal_column, true
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.default import DefaultDialect

# As a literal is written in standard SQL.
_QUOTED = Text().literal_processor(DefaultDialect())  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as the driver takes it, and the values that are part of it."""

    sql: str
    fixed: dict[str, Any]


def compile_statement(statement: ClauseElement) -> Compiled:
    """To be sent many times; values of the statement's own types only, which the driver takes as they are."""
    return _as_sent(_made(statement))


def constant(value: str) -> ColumnElement[str]:
    """A text of ours that is the same whenever the statement is sent: written out, since each value sent has its cost.

    Never a user's: those are bound.
    """
    assert _QUOTED is not None
    return literal_column(_QUOTED(value), Text)


def _made(statement: ClauseElement) -> Any:
    return statement.compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]


def _as_sent(made: Any) -> Compiled:
    return Compiled(str(made), {name: value for name, value in made.params.items() if value is not None})


class Clauses:
    """Conditions that differ from others in their values alone are equal, and share one compiled statement."""

    def __init__(self, clauses: Sequence[ColumnElement[bool]]) -> None:
        self.clauses = clauses
        # What SQLAlchemy's own cache of statements goes by, without the whole statement having to be put together.
        key = and_(true(), *clauses)._generate_cache_key()
        assert key is not None
        self._key = key.key
        self._bound = key.bindparams

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clauses) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __bool__(self) -> bool:
        return bool(self.clauses)

    def named(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: bound.effective_value for name, bound in zip(names, self._bound, strict=True)}


NO_CLAUSES = Clauses([])


@dataclass(frozen=True, slots=True)
class Conditional:
    """A compiled statement, and how the values of its conditions are called in it."""

    statement: Compiled
    names: Sequence[str]

    def values(self, conditions: Clauses, others: dict[str, Any]) -> dict[str, Any]:
        """All that is sent with the statement."""
        return conditions.named(self.names) | others if self.names else others


def compile_conditional(statement: ClauseElement, conditions: Clauses) -> Conditional:
    made = _made(statement)
    return Conditional(_as_sent(made), [made.bind_names[bound] for bound in conditions._bound])
