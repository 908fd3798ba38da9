"""The functions of analysis and ranking give the same results on an async connection."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Engine

from rag_assets.db.connections.engines import make_async_engine
from rag_assets.search.analysis.aggregates import aggregate
from rag_assets.search.analysis.centroid import centroid
from rag_assets.search.analysis.chunk_selection import find_document
from rag_assets.search.analysis.provenance import explain_chunk
from rag_assets.search.analysis.similar import chunk_reference, document_reference
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.ranking.mmr import diversify
from rag_assets.search.ranking.neighbours import fetch_contexts
from tests.support.data.vectors import make_corpus, search_similar


def test_results_are_those_of_the_sync_functions(engine: Engine) -> None:
    corpus = make_corpus(engine)
    space, chunk = corpus.space, corpus.chunks_of("d00.md")[2]
    ids = [one.chunk_id for one in corpus.chunks[:12]]
    filters = Filters(projects=["p"], path_glob="d*")
    calls: list[Callable[..., Any]] = [
        partial(aggregate, space=space, filters=filters, buckets=5),
        partial(centroid, space=space, document_id=chunk.document_id),
        partial(fetch_contexts, chunk_ids=ids, neighbours=1),
        partial(
            diversify,
            space=space,
            candidates=[(1 / place, id_) for place, id_ in enumerate(ids, start=1)],
            k=5,
            balance=0.5,
            chunk_id=lambda id_: id_,
        ),
        partial(explain_chunk, chunk_id=chunk.chunk_id),
        partial(find_document, project="p", file_path="d00.md"),
        partial(search_similar, reference_of=chunk_reference, space=space, id_=chunk.chunk_id, filters=filters),
        partial(search_similar, reference_of=document_reference, space=space, id_=chunk.document_id, k=3),
    ]

    async def ask() -> list[Any]:
        async_engine = make_async_engine(engine.url)
        try:
            async with async_engine.begin() as connection:
                return [await connection.run_sync(call) for call in calls]
        finally:
            await async_engine.dispose()

    found = asyncio.run(ask())
    with engine.begin() as connection:
        expected = [call(connection) for call in calls]
    assert found == expected
    assert all(expected)
