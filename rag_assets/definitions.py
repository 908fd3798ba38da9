"""The code location: what Dagster shows and runs."""

import dagster as dg

from rag_assets.assets.chunks import chunks
from rag_assets.assets.corpus_map import corpus_map
from rag_assets.assets.described import described
from rag_assets.assets.documents import raw_documents
from rag_assets.assets.embeddings import embeddings
from rag_assets.assets.index import hnsw_index, live_space
from rag_assets.assets.memories import live_memories, memory_embeddings, memory_index
from rag_assets.assets.messages import live_messages, message_embeddings, message_index
from rag_assets.automation.failures import failed_runs
from rag_assets.automation.following import follow_upstreams
from rag_assets.automation.jobs import checks, embed_memories, embed_messages, ingest
from rag_assets.automation.maintenance import maintenance_job
from rag_assets.automation.projects import changed_sources, nightly_refresh, own_schedules, project_partitions
from rag_assets.automation.schedules import (
    nightly_memories,
    trailing_messages,
    weekly_maintenance,
    yesterdays_messages,
)
from rag_assets.checks.integrity import document_checks
from rag_assets.checks.projects import project_checks
from rag_assets.checks.vectors import (
    embeddings_checks,
    hnsw_index_checks,
    live_space_checks,
    memory_embeddings_checks,
    memory_index_checks,
    message_embeddings_checks,
    message_index_checks,
)
from rag_assets.io.manager import TableIOManager
from rag_assets.resources.embedder import Embedder
from rag_assets.resources.postgres import Postgres

postgres = Postgres()

defs = dg.Definitions(
    assets=described(
        [
            *(raw_documents, chunks, embeddings, hnsw_index, live_space),
            *(message_embeddings, message_index, live_messages),
            *(memory_embeddings, memory_index, live_memories),
            corpus_map,
        ]
    ),
    asset_checks=[
        document_checks,
        project_checks,
        embeddings_checks,
        hnsw_index_checks,
        live_space_checks,
        *(message_embeddings_checks, message_index_checks),
        *(memory_embeddings_checks, memory_index_checks),
    ],
    jobs=[ingest, embed_messages, embed_memories, checks, maintenance_job],
    schedules=[nightly_refresh, yesterdays_messages, trailing_messages, nightly_memories, weekly_maintenance],
    sensors=[project_partitions, changed_sources, own_schedules, follow_upstreams, failed_runs],
    # Each step waits for the one before: processes of their own would only cost, some two seconds each and a model
    # that is loaded anew.
    executor=dg.in_process_executor,
    resources={
        "postgres": postgres,
        "embedder": Embedder(),
        "tables": TableIOManager(postgres=postgres),
    },
)
