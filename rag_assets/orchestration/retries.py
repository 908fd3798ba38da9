"""Which errors Dagster's retry policy may try again."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from rag_assets.errors import RagAssetsError


@contextmanager
def fail_without_retries() -> Iterator[None]:
    """Turn errors that trying again cannot fix, such as wrong settings, into a dg.Failure without retries."""
    try:
        yield
    except RagAssetsError as error:
        if error.transient:
            raise
        raise dg.Failure(str(error), allow_retries=False) from error
