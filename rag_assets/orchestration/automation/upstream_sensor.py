"""The sensor by which chunks, embeddings, index and live space follow their upstreams without a schedule."""

import dagster as dg

from rag_assets.orchestration.automation.default_status import sensor_status
from rag_assets.orchestration.automation.jobs import INGEST_ASSETS, select_assets
from rag_assets.orchestration.scope import PipelineScope


def follow_upstreams_sensor(scope: PipelineScope) -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        scope.name("follow_upstreams"),
        target=select_assets(scope, INGEST_ASSETS),
        minimum_interval_seconds=scope.settings.sensor_interval_s,
        default_status=sensor_status(scope.settings),
        description="Requests runs of chunks, embeddings, hnsw_index and live_space when their upstreams were updated.",
    )
