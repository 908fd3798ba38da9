"""Chunks, embeddings, index and pointer follow their upstreams without a schedule, while this sensor is on."""

import dagster as dg

from rag_assets.orchestration.automation.default_status import sensor_status
from rag_assets.orchestration.automation.jobs import INGESTED, selected
from rag_assets.orchestration.scope import Pipeline


def follow_upstreams(pipeline: Pipeline) -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        pipeline.name("follow_upstreams"),
        target=selected(pipeline, INGESTED),
        minimum_interval_seconds=pipeline.settings.sensor_interval_s,
        default_status=sensor_status(pipeline.settings),
        description="Asks for chunks, embeddings, hnsw_index and live_space when what they are made of was updated.",
    )
