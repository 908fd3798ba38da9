"""The code location of the command line and `rag-assets ui`: one pipeline with the environment's settings."""

import dagster as dg

from rag_assets.orchestration.build import build_definitions

defs = dg.Definitions.merge(
    build_definitions(),
    # The steps run one after the other, so a process for each would only cost time.
    dg.Definitions(executor=dg.in_process_executor),
)
