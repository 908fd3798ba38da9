"""The code location of an installation: the pipeline of the environment's settings, and nothing beside it."""

import dagster as dg

from rag_assets.orchestration.build import build_definitions

defs = dg.Definitions.merge(
    build_definitions(),
    # Each step waits for the one before: processes of their own would only cost.
    dg.Definitions(executor=dg.in_process_executor),
)
