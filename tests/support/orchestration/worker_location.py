"""A code location for workers: the real pipeline with a slow fake model, which notes each text in the database."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import psycopg

from rag_assets.db.connections.urls import database_url
from rag_assets.db.models import EmbeddingSpace
from rag_assets.embedding.encoder import Encoder
from rag_assets.settings.settings import load_settings
from tests.support.fakes import FakeEmbedder, HashEncoder
from tests.support.pipeline import runs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CREATE_NOTES = (
    "CREATE TABLE IF NOT EXISTS public.embedded (text text, worker text, batch text, at timestamptz DEFAULT now())"
)
BATCH_S = float(os.environ.get("TEST_BATCH_S", "0"))


class NotingEncoder(HashEncoder):
    """Takes BATCH_S for a batch, whose texts it notes before with the parent of this process: Celery's worker."""

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        address = database_url(load_settings()).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address) as connection:
            batch = f"{os.getpid()} {time.monotonic_ns()}"
            rows = [(text, os.environ.get("TEST_WORKER", ""), batch) for text in texts]
            connection.cursor().executemany(
                "INSERT INTO public.embedded (text, worker, batch) VALUES (%s, %s, %s)", rows
            )
        time.sleep(BATCH_S)
        return super().encode(texts)


class NotingEmbedder(FakeEmbedder):
    def encoder(self, space: EmbeddingSpace) -> Encoder:
        return NotingEncoder(space.dimensions)


def ingest_job() -> dg.JobDefinition:
    """For `dg.reconstructable`."""
    return defs.resolve_job_def("ingest")


defs = dg.Definitions.merge(
    dg.Definitions(
        assets=runs.fake_defs.assets,
        asset_checks=runs.fake_defs.asset_checks,
        jobs=runs.fake_defs.jobs,
        resources={**(runs.fake_defs.resources or {}), "embedder": NotingEmbedder()},
        executor=dg.in_process_executor,
    )
)
