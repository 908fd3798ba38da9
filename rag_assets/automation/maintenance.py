"""The maintenance: a job of its own, since it writes nothing that an asset stands for."""

import dagster as dg

from rag_assets.progress import LogLines, listening
from rag_assets.resources.embedder import Embedder
from rag_assets.resources.postgres import Postgres


@dg.op
def maintain(context: dg.OpExecutionContext, postgres: Postgres, embedder: Embedder) -> None:
    """Remove what is expired or left over, vacuum, build ailing indexes anew, keep the live ones warm."""
    from typing import get_args

    from rag_assets.db.texts import Kind
    from rag_assets.stages import maintenance

    targets = {kind: embedder.target(kind) for kind in get_args(Kind)}
    with listening(LogLines(context.log.info)):
        figures = maintenance.maintain(postgres.engine, postgres.settings, targets)
    context.log.info("maintained: %s", figures)
    context.add_output_metadata(figures)


@dg.job(
    name="maintenance",
    description="Remove what is expired or left over, vacuum, build ailing indexes anew, keep the live ones warm.",
)
def maintenance_job() -> None:
    maintain()
