"""Which errors a RetryPolicy may try again."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from rag_assets.errors import RagAssetsError


@contextmanager
def no_vain_retries() -> Iterator[None]:
    """Dagster would try any error again; what the caller did wrong, or what guards the data, stays as it is."""
    try:
        yield
    except RagAssetsError as error:
        if error.transient:
            raise
        raise dg.Failure(str(error), allow_retries=False) from error
