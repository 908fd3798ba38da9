"""Which errors Dagster's retry policy may try again, and when."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.errors import RagAssetsError

if TYPE_CHECKING:
    from sqlalchemy import Engine


@contextmanager
def fail_without_retries() -> Iterator[None]:
    """Turn errors that trying again cannot fix, such as wrong settings, into a dg.Failure without retries."""
    try:
        yield
    except RagAssetsError as error:
        if error.transient:
            raise
        raise dg.Failure(str(error), allow_retries=False) from error


@contextmanager
def wait_for_lost_database(engine: "Engine") -> Iterator[None]:
    """Let a step that lost its connection fail only once the database answers again, so that its retry finds it.

    Dagster's own pauses are short. After RAG_ASSETS_RETRY_S the error that says so takes its place.
    """
    try:
        yield
    except Exception as error:
        import psycopg
        from sqlalchemy import select
        from sqlalchemy.exc import DBAPIError

        from rag_assets.db.connections.retry import is_lost, run_read

        if isinstance(error, DBAPIError | psycopg.Error) and is_lost(error):
            run_read(engine, lambda connection: connection.scalar(select(1)))
        raise
