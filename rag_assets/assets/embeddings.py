"""embeddings: a vector for every distinct text."""

import dagster as dg

from rag_assets.io.tables import Chunks
from rag_assets.partitions import projects
from rag_assets.resources.embedder import Embedder
from rag_assets.resources.postgres import Postgres
from rag_assets.stages.batches import EmbeddingBatches


@dg.asset(partitions_def=projects, io_manager_key="tables", group_name="rag", kinds={"pytorch", "postgres"})
def embeddings(chunks: Chunks, postgres: Postgres, embedder: Embedder) -> EmbeddingBatches:
    """Vectors of the chunk texts, in `rag.embeddings`, stored once under the hash of the text.

    Only texts without a vector go through the model: renamed files, repeated pages and full rebuilds embed nothing.
    Each batch is committed as it comes, so a killed run loses at most the batch in flight.
    """
    from rag_assets.stages import refresh

    return EmbeddingBatches(
        refresh.embeddings(postgres.engine, postgres.settings, chunks.projects, embedder.target(), embedder.encoder)
    )
