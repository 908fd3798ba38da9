"""The code location of the command line and `rag-assets ui`: one pipeline with the environment's settings."""

import dagster as dg

from rag_assets.orchestration.automation.jobs import EXECUTORS
from rag_assets.orchestration.build import build_definitions
from rag_assets.settings.settings import load_settings

defs = dg.Definitions.merge(
    build_definitions(),
    # Of runs that are launched from assets, without a job of ours.
    dg.Definitions(executor=EXECUTORS[load_settings().executor]),
)
