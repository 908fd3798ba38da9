"""The maintenance: a job without assets, since it writes nothing that an asset stands for."""

import dagster as dg

from rag_assets.orchestration.scope import PipelineScope
from rag_assets.pipeline.progress import ProgressLog, progress_listener

_DESCRIPTION = (
    "Remove expired and orphaned rows, vacuum, rebuild degraded indexes, load the live indexes into memory, and check "
    "every row."
)


def build_maintenance_job(scope: PipelineScope) -> dg.JobDefinition:
    @dg.op(
        name=scope.name("maintain"),
        description=_DESCRIPTION,
        required_resource_keys={scope.postgres_key, scope.embedder_key},
    )
    def maintain(context: dg.OpExecutionContext) -> None:
        from rag_assets.db.spaces.text_kinds import list_kinds
        from rag_assets.pipeline.maintenance import run_maintenance

        postgres, embedder = scope.postgres(context), scope.embedder(context)
        targets = {kind: embedder.target(kind) for kind in list_kinds()}
        with progress_listener(ProgressLog(context.log.info)):
            figures = run_maintenance(postgres.engine, postgres.settings, targets)
        for failed in figures["failed_checks"]:
            context.log.error("%s failed: %s", failed["check"], failed["reason"])
        context.log.info("maintenance done: %s", figures)
        context.add_output_metadata(figures)

    @dg.job(name=scope.name("maintenance"), description=_DESCRIPTION, executor_def=dg.in_process_executor)
    def maintenance() -> None:
        maintain()

    return maintenance
