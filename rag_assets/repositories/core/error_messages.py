"""What the database refuses, said as the rest of the package says it."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import CardinalityViolation, CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation
from sqlalchemy.exc import DBAPIError

from rag_assets.errors import RagAssetsError, UsageError


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise UsageError where a value breaks a rule of its table; all other errors pass as they are."""
    try:
        yield
    except DBAPIError as error:
        refusal = _translated(error.orig)
        if refusal is None:
            raise
        raise refusal from error


def _translated(error: BaseException | None) -> RagAssetsError | None:
    match error:
        case ForeignKeyViolation(diag=diag):
            return UsageError(f"{diag.table_name} refer to a row that is not there: {diag.message_detail}")
        case UniqueViolation(diag=diag):
            return UsageError(f"{diag.table_name} hold this already: {diag.message_detail}")
        case CheckViolation(diag=diag):
            return UsageError(f"{diag.table_name} break their rule {diag.constraint_name}; give values that keep it.")
        case NotNullViolation(diag=diag):
            return UsageError(f"{diag.table_name}.{diag.column_name} is missing; give a value.")
        case CardinalityViolation():
            return UsageError("two of the rows have the same key; give each row once.")
        case _:
            return None
