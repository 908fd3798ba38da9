"""Memory, workers and parts of index builds."""

import pytest

from rag_assets.db.index.build_resources import BuildShares, build_memory_mb, parts_for, share_resources
from rag_assets.db.models import EmbeddingSpace

SPACE = EmbeddingSpace(method="hnsw", storage="vector", dimensions=384, m=16)
# One graph over so many vectors needs about 3.6 GB.
ROWS = 1_000_000


@pytest.mark.parametrize(("limit_mb", "parts"), [(4096, 1), (2048, 2), (1024, 4), (500, 8), (64, 57), (1, 57)])
def test_so_many_parts_are_recommended_that_each_graph_fits_into_the_memory(limit_mb: int, parts: int) -> None:
    assert parts_for(SPACE, ROWS, limit_mb) == parts
    assert build_memory_mb(SPACE, -(-ROWS // parts)) <= max(limit_mb, 64)


def test_a_smaller_storage_needs_fewer_parts_and_ivfflat_none() -> None:
    shapes = {
        storage: EmbeddingSpace(method="hnsw", storage=storage, dimensions=384, m=16)
        for storage in ("vector", "halfvec", "bit")
    }
    assert {storage: parts_for(space, 10 * ROWS, 2048) for storage, space in shapes.items()} == {
        "vector": 18,
        "halfvec": 14,
        "bit": 9,
    }
    lists = EmbeddingSpace(method="ivfflat", storage="vector", dimensions=384, m=16)
    assert parts_for(lists, 10 * ROWS, 64) == 1
    assert parts_for(SPACE, 0, 2048) == 1


@pytest.mark.parametrize(
    ("parts", "limit_mb", "workers", "shares"),
    [
        # Each of the four needs 905 MB.
        (4, 4096, 3, BuildShares(4, 1024, 0)),
        (4, 4096, 7, BuildShares(4, 1024, 1)),
        (4, 2048, 3, BuildShares(2, 1024, 1)),
        (4, 1000, 3, BuildShares(1, 1000, 3)),
        (4, 64, 3, BuildShares(1, 64, 3)),
        (4, 4096, 0, BuildShares(1, 4096, 0)),
        (1, 4096, 3, BuildShares(1, 4096, 3)),
        (0, 4096, 3, BuildShares(1, 4096, 3)),
    ],
)
def test_as_many_parts_are_built_at_a_time_as_have_their_memory_and_a_process(
    parts: int, limit_mb: int, workers: int, shares: BuildShares
) -> None:
    assert share_resources(SPACE, parts, ROWS // 4, limit_mb, workers) == shares
