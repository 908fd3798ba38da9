"""Chunks, embeddings, index and pointer follow their upstreams without a schedule, while this sensor is on."""

import dagster as dg

from rag_assets.automation.jobs import INGESTED
from rag_assets.automation.status import SENSOR_STATUS

follow_upstreams = dg.AutomationConditionSensorDefinition(
    "follow_upstreams",
    target=INGESTED,
    default_status=SENSOR_STATUS,
    description="Asks for chunks, embeddings, hnsw_index and live_space when what they are made of was updated.",
)
