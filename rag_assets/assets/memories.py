"""memory_embeddings, memory_index and live_memories: what is remembered, recalled by meaning."""

import dagster as dg

from rag_assets.assets.index import build_index, serve
from rag_assets.assets.policies import EMBEDDER_POOL, INDEX_POOL, RETRIES
from rag_assets.resources.embedder import Embedder
from rag_assets.resources.postgres import Postgres
from rag_assets.stages.batches import EmbeddingBatches


@dg.asset(
    io_manager_key="tables",
    group_name="conversations",
    kinds={"pytorch", "postgres"},
    pool=EMBEDDER_POOL,
    retry_policy=RETRIES,
)
def memory_embeddings(postgres: Postgres, embedder: Embedder) -> EmbeddingBatches:
    """Vectors of all memories that are neither forgotten nor expired, in `rag.embeddings`.

    Only texts without a vector go through the model. A memory longer than the model's window is embedded in pieces, and
    has the mean of their vectors.
    """
    from rag_assets.stages import refresh

    target = embedder.target("memories")
    return EmbeddingBatches(refresh.memory_embeddings(postgres.engine, postgres.settings, target, embedder.encoder))


@dg.asset(
    deps=[memory_embeddings],
    group_name="conversations",
    kinds={"postgres"},
    pool=INDEX_POOL,
    retry_policy=RETRIES,
)
def memory_index(
    context: dg.AssetExecutionContext, postgres: Postgres, embedder: Embedder
) -> dg.MaterializeResult[None]:
    """The HNSW index over the vectors of memories, valid and with the wanted parameters.

    Vectors of memories that are forgotten or expired are removed first.
    """
    return build_index(context, postgres, embedder.target("memories"))


@dg.asset(deps=[memory_index], group_name="conversations", kinds={"postgres"}, retry_policy=RETRIES)
def live_memories(postgres: Postgres, embedder: Embedder) -> dg.MaterializeResult[None]:
    """The embedding space in which memories are recalled and searched.

    The pointer moves to the wanted space only when that one is proved: complete, indexed, fast and exact enough.
    """
    return serve(postgres, embedder, "memories", table="embeddings")
