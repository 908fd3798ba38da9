"""Which batches an embedding server has finished, without fetching them."""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from rag_assets.db.models import EmbeddingSpace, RemoteBatch
from rag_assets.db.spaces.remote_batches import open_batches
from rag_assets.embedding.remote.batch_client import BatchClient
from rag_assets.embedding.remote.encoder import RemoteEncoder
from rag_assets.embedding.remote.servers import mark_server

if TYPE_CHECKING:
    from rag_assets.search.execution.query_embedding import MakeEncoder


def find_finished_batches(engine: Engine, encoder: "MakeEncoder") -> Sequence[RemoteBatch]:
    """The open batches that have ended at their server. Raises ServiceError where it does not answer."""
    finished = []
    for batch in open_batches(engine):
        if batch.remote_id is None:
            continue
        with Session(engine, expire_on_commit=False) as session:
            space = session.get(EmbeddingSpace, batch.space_id)
        own = encoder(space) if space is not None else None
        if not isinstance(own, RemoteEncoder) or mark_server(own.endpoint.url) != batch.server:
            continue
        with closing(BatchClient(own.endpoint)) as client:
            state = client.get(batch.remote_id)
        if state is None or state.ended is not None:
            finished.append(batch)
    return finished
