"""The code location: what Dagster shows and runs."""

import dagster as dg

from rag_assets.assets.chunks import chunks
from rag_assets.assets.documents import raw_documents
from rag_assets.assets.embeddings import embeddings
from rag_assets.assets.index import hnsw_index, live_space
from rag_assets.automation.jobs import checks, ingest
from rag_assets.checks.integrity import document_checks
from rag_assets.checks.vectors import embeddings_checks, hnsw_index_checks, live_space_checks
from rag_assets.io.manager import TableIOManager
from rag_assets.resources.embedder import Embedder
from rag_assets.resources.postgres import Postgres

postgres = Postgres()

defs = dg.Definitions(
    assets=[raw_documents, chunks, embeddings, hnsw_index, live_space],
    asset_checks=[
        document_checks,
        embeddings_checks,
        hnsw_index_checks,
        live_space_checks,
    ],
    jobs=[ingest, checks],
    resources={
        "postgres": postgres,
        "embedder": Embedder(),
        "tables": TableIOManager(postgres=postgres),
    },
)
