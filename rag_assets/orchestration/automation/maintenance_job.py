"""The maintenance: a job of its own, since it writes nothing that an asset stands for."""

import dagster as dg

from rag_assets.orchestration.scope import Pipeline
from rag_assets.pipeline.progress import LogLines, listening

_DOES = "Remove what is expired or left over, vacuum, build ailing indexes anew, keep the live ones warm."


def maintenance_job(pipeline: Pipeline) -> dg.JobDefinition:
    @dg.op(
        name=pipeline.name("maintain"),
        description=_DOES,
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
    )
    def maintain(context: dg.OpExecutionContext) -> None:
        from rag_assets.db.spaces.text_kinds import list_kinds
        from rag_assets.pipeline import maintenance

        postgres, embedder = pipeline.postgres(context), pipeline.embedder(context)
        targets = {kind: embedder.target(kind) for kind in list_kinds()}
        with listening(LogLines(context.log.info)):
            figures = maintenance.maintain(postgres.engine, postgres.settings, targets)
        context.log.info("maintained: %s", figures)
        context.add_output_metadata(figures)

    @dg.job(name=pipeline.name("maintenance"), description=_DOES, executor_def=dg.in_process_executor)
    def maintenance_job() -> None:
        maintain()

    return maintenance_job
