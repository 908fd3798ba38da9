"""Runs for projects whose texts an embedding server has answered."""

import dagster as dg

from rag_assets.orchestration.automation.default_status import sensor_status
from rag_assets.orchestration.automation.jobs import Jobs
from rag_assets.orchestration.automation.run_requests import refresh_requests
from rag_assets.orchestration.scope import PipelineScope


def finished_batches_sensor(scope: PipelineScope, jobs: Jobs) -> dg.SensorDefinition:
    @dg.sensor(
        name=scope.name("finished_batches"),
        job=jobs.ingest,
        minimum_interval_seconds=scope.settings.sensor_interval_s,
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        default_status=sensor_status(scope.settings),
    )
    def finished_batches(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Refreshes the projects whose texts wait in a batch that the embedding server has finished."""
        from rag_assets.errors import RagAssetsError
        from rag_assets.pipeline.stages.vectors.remote_batches.finished import find_finished_batches

        embedder = getattr(context.resources, scope.embedder_key)
        keys = context.instance.get_dynamic_partitions(str(scope.projects.name))
        try:
            found = find_finished_batches(scope.postgres(context).engine, embedder.encoder)
        except RagAssetsError as error:
            # The nightly run fetches them.
            return dg.SensorResult(skip_reason=f"the embedding server cannot be asked: {error}")
        requests = []
        for batch in found:
            # Any run fetches the batches of all projects, also where the project is gone, or has other shards now.
            wanted = batch.key if batch.key in keys else next(iter(keys), None)
            if wanted is not None:
                # Of a batch whose run failed the next nightly run is the one that tries again.
                requests += refresh_requests(context, scope, {wanted}, f"batch {batch.id}")
        return dg.SensorResult(run_requests=requests)

    return finished_batches
